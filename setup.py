"""Package metadata."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
INIT = (ROOT / "smsr_plugin" / "__init__.py").read_text(encoding="utf-8")
VERSION = re.search(r'^__version__ = "(.+)"$', INIT, re.MULTILINE).group(1)

setup(
    name="smsr_plugin",
    version=VERSION,
    description="SMSR for BasicSR: super-resolution that learns where it need not compute",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["smsr_plugin", "smsr_plugin.*"]),
    python_requires=">=3.10",
    install_requires=[
        "basicsr>=1.4.2,<1.5",
        "lmdb",
        "numpy",
        "opencv-python",
        "pillow",
        "pyyaml",
        "safetensors",
        "scikit-image",
        "setuptools; python_version >= '3.12'",  # thop imports distutils
        "thop",
        "torch>=2.6",
        "torchvision>=0.21",
        "tqdm",
    ],
    extras_require={
        "test": ["hypothesis>=6", "import-linter>=2", "pytest>=8"],
        "dev": ["pre-commit", "pyright", "ruff"],
        "plot": ["matplotlib"],
    },
    entry_points={
        "console_scripts": [
            "smsr-train = smsr_plugin.toolbox.train:main",
            "smsr-test = smsr_plugin.toolbox.test:main",
            "smsr-convert = smsr_plugin.cli.convert:main",
        ]
    },
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Image Processing",
    ],
)
