# docker build -t seglight .                                   torch for the CPU
# docker build -t seglight --build-arg TORCH=cu130 .           torch for CUDA 13.0
# docker run --rm -v "$PWD/work_dirs:/seglight/work_dirs" seglight fit --config demo.yaml
# docker run --rm --entrypoint scripts/test seglight
FROM python:3.11-slim-bookworm

# The folder of torch's builds on its own index (cpu, cu126, cu130, ...), and that index or a mirror of it.
ARG TORCH=cpu
ARG TORCH_INDEX=https://download.pytorch.org/whl
ENV PIP_EXTRA_INDEX_URL=${TORCH_INDEX}/${TORCH} \
    PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1

WORKDIR /seglight
COPY . .
RUN scripts/bootstrap

ENTRYPOINT ["scripts/seglight"]
CMD ["--help"]
