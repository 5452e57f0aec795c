"""Package metadata, and the native kernels, which are optional."""

import os
import re
import shutil
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

try:
    import pybind11
except ImportError:  # without build isolation: the package installs without kernels
    pybind11 = None

ROOT = Path(__file__).parent
VERSION_FILE = (ROOT / "smsr_plugin" / "version.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', VERSION_FILE, re.MULTILINE).group(1)

CSRC = Path("smsr_plugin", "sparse", "csrc")
# Instruction sets are chosen by pragmas in the sources, and at run time; never by flags.
GCC_OR_CLANG = [
    *("-std=c++17", "-O3", "-fvisibility=hidden"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"),
    "-pthread",
    *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),  # GCC 12's own immintrin.h
    "-Wno-unknown-warning-option",  # of these two Clang knows one
]
CLANG_CL = [
    *("/std:c++17", "/O2", "/EHsc"),
    *("/clang:-O3", "/clang:-ffp-contract=fast", "/clang:-fno-math-errno"),
]


def flags(compiler_type):
    """Return what to compile and to link with, by the kind of compiler that setuptools uses."""
    if compiler_type == "msvc":
        return CLANG_CL, []
    # Python's own flags have -g, and the file would be fourteen times as large.
    plain = [] if "-g" in os.environ.get("CFLAGS", "").split() else ["-g0"]
    return [*GCC_OR_CLANG, *plain], ["-pthread"]


class BuildKernels(build_ext):
    """Builds the kernels; where that does not work, the package does without."""

    def build_extension(self, ext):
        compiler = self.compiler
        ext.extra_compile_args, ext.extra_link_args = flags(compiler.compiler_type)
        try:
            if compiler.compiler_type == "msvc":
                compiler.initialize()
                compiler.cc = clang_cl()
            return super().build_extension(ext)
        except Exception as error:
            reason = error
        message = (
            f"smsr_plugin: the native kernels were not built ({reason}). Sparse inference will run "
            "in plain PyTorch. They need a C++17 compiler (GCC or Clang) and Python's headers."
        )
        print(message, file=sys.stderr)
        return None


def clang_cl():
    """Return the path of Clang as Visual Studio brings it, whose own compiler has no vectors."""
    found = shutil.which("clang-cl")
    if not found:
        raise FileNotFoundError("clang-cl is not in PATH; it comes with Visual Studio or LLVM")
    return found


def extensions():
    if pybind11 is None:
        print("smsr_plugin: without pybind11 the native kernels are not built", file=sys.stderr)
        return []
    return [
        Extension(
            "smsr_plugin._kernels",
            sources=sorted(map(str, CSRC.glob("*.cpp"))),
            depends=sorted(str(path) for kind in ("*.h", "*.inl") for path in CSRC.glob(kind)),
            include_dirs=[pybind11.get_include()],
            language="c++",
            optional=True,
        )
    ]


TORCH = ["torch>=2.6"]
TRAIN = [
    *TORCH,
    "basicsr>=1.4.2,<1.5",
    "lmdb",
    "msgspec>=0.19",
    "opencv-python",
    "pyyaml",
    "scikit-image",
    "torchvision>=0.21",
]
REPORT = [*TORCH, "jinja2", "markupsafe", "scikit-image", "scipy"]
ONNX = [*TORCH, "onnx", "onnxruntime", "onnxscript"]
DOCS = ["zensical"]
VIDEO = ["av>=18"]
#: `smsr_plugin.lazy` names them where something is missing.
EXTRAS = {
    "torch": TORCH,
    "train": TRAIN,
    "report": REPORT,
    "onnx": ONNX,
    "bench": [
        *TRAIN,
        *ONNX,
        "matplotlib",
        "ncnn",
        "nncf",
        "openvino",
        "pnnx",
        "scikit-learn",
        "torchmetrics>=1.8",
    ],
    "spandrel": [*TORCH, "spandrel>=0.4"],
    "tensorboard": ["tensorboard"],
    "video": VIDEO,
    "test": [
        *TRAIN,
        *REPORT,
        *DOCS,
        *VIDEO,
        "dask[distributed]",
        "fvcore",
        "hypothesis>=6",
        "import-linter>=2",
        "jsonschema>=4",
        "ipykernel",
        "matplotlib",
        "nbclient",
        "pytest>=8",
        "pytest-xdist>=3",
        "selenium>=4.11",
        "setuptools",  # thop imports distutils
        "thop",
    ],
    "docs": DOCS,
    "dev": ["pre-commit", "pyright", "ruff"],
}

setup(
    name="smsr_plugin",
    version=VERSION,
    description="SMSR for BasicSR: super-resolution that learns where it need not compute",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["smsr_plugin", "smsr_plugin.*"]),
    package_data={
        "smsr_plugin": ["weights/*"],
        "smsr_plugin.report": ["templates/*"],
        "smsr_plugin.training.options": ["schema.json", "templates/*"],
    },
    ext_modules=extensions(),
    cmdclass={"build_ext": BuildKernels},
    python_requires=">=3.11",
    install_requires=[  # what upscales images with the kernels: no PyTorch, no OpenCV
        "argcomplete>=3",
        "numpy",
        "pillow",
        "rich",
        "rich-argparse",
        "safetensors",
        "tifffile",
        "tqdm",
    ],
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "smsr = smsr_plugin.cli.main:main",
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
