# One image for each service: docker build --build-arg SERVICE=orders .
# It holds the library, that one service and what the two need from the lock file; nothing of the other services.
ARG PYTHON_IMAGE=python:3.13-slim-trixie
FROM ${PYTHON_IMAGE} AS build
# the extension in C is built where a compiler can be had; without it Python does its work, slower
RUN apt-get update -qq -o Acquire::Retries=0 -o Acquire::http::Timeout=20 \
    && apt-get install -qq -y --no-install-recommends gcc libc6-dev >/dev/null && rm -rf /var/lib/apt/lists/* \
    || echo "no compiler can be had here: the image goes without the extension in C"
ARG SERVICE
WORKDIR /build
RUN python -m venv /opt/service
COPY requirements/${SERVICE}.lock requirements.lock
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/service/bin/pip install --cache-dir /var/cache/pip --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements.lock
COPY eventbus /opt/app/eventbus
COPY tools/build_scan.py build_scan.py
RUN python build_scan.py /opt/app/eventbus/wire
COPY services/${SERVICE} /opt/app/services/${SERVICE}
# compiled here, since the root file system is read-only when it runs
RUN /opt/service/bin/python -m compileall -q /opt/app

FROM ${PYTHON_IMAGE}
ARG SERVICE
ARG ATTRIBUTE=service
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin service
COPY --from=build /opt/service /opt/service
COPY --from=build /opt/app /opt/app
ENV PATH=/opt/service/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TARGET=services.${SERVICE}:${ATTRIBUTE} \
    EVENTBUS_HEALTH_HOST=0.0.0.0 \
    EVENTBUS_HEALTH_PORT=9100 \
    PORTS="8000 9100"
WORKDIR /opt/app
USER 10001
# 8000 is the service's own, 9100 has /healthz, /readyz and /metrics of its bus
EXPOSE 8000 9100
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 \
    CMD ["python", "-c", "import os, urllib.request as r; [r.urlopen(f'http://127.0.0.1:{port}/readyz', timeout=4) for port in os.environ['PORTS'].split()]"]
CMD ["sh", "-c", "exec python -m eventbus.cli run $TARGET"]
