# `smsr upscale` with the native kernels, without PyTorch and without a compiler:
#
#   docker build --tag smsr .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/photos" smsr upscale photo.jpg -o larger

FROM debian:trixie-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv
COPY . /source
# A build without a compiler leaves a package without kernels: the last line ends that here.
RUN python3 -m venv /opt/smsr \
    && /opt/smsr/bin/pip install --no-cache-dir /source \
    && /opt/smsr/bin/python -c "import smsr_plugin._kernels"

FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/smsr /opt/smsr
ENV PATH=/opt/smsr/bin:$PATH
WORKDIR /photos
ENTRYPOINT ["smsr"]
CMD ["--help"]
