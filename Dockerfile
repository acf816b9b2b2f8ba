# Web, worker, beat, gate and migrations: one image, which runs on a read-only root with /tmp and /dev/shm to write to.
# A package index of your own is handed in, and stays out of the image: `--secret id=pip,src=pip.conf`, and the certificates
# to ask it by, `--secret id=ca,src=ca.pem`, for which that file says `cert = /run/secrets/ca`.
# By tag, until `python tools/pins.py` has asked a registry for the digest and written it here.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PATH=/opt/countersign/bin:/usr/local/bin:/usr/bin:/bin UV_LINK_MODE=copy
ENV COUNTERSIGN_STATE_DIR=/tmp/countersign COUNTERSIGN_STATIC_ROOT=/app/static
WORKDIR /app
COPY tools/install.py tools/uv.txt requirements-runtime.txt /opt/
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca --mount=type=cache,target=/root/.cache \
    python3 -m venv /opt/countersign \
    && python /opt/install.py /opt/requirements-runtime.txt \
    && python -m pip uninstall --yes pip uv \
    && rm -f /opt/countersign/.lock

COPY manage.py ./
COPY accounts accounts
COPY mirror mirror
COPY components components
COPY approvals approvals
COPY api api
COPY registry_ui registry_ui
COPY templates templates
# What the worker signs, the gate in MLflow reads: by the same modules.
COPY packages/mlflow_gate/mlflow_gate mlflow_gate
# The key is for this one command only; nothing is signed with it. What is not compiled here never is.
RUN COUNTERSIGN_SECRET_KEY=only-for-collecting-the-static-files python manage.py collectstatic --no-input \
    && python -m compileall -q -j 0 /opt/countersign /app

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Countersign" org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"
# Nothing in here becomes another user. A new volume takes its owner from this folder, where a worker may keep files for
# a moment that are too large for /tmp.
RUN find / -xdev -type f -perm /6000 -exec chmod a-s '{}' + \
    && install --directory --owner=10001 --group=10001 /var/lib/countersign
# As COPY, which takes buildah eight times as long.
RUN --mount=type=bind,from=build,target=/mnt cp --archive /mnt/opt/countersign /opt/ && cp --archive /mnt/app /
ENV PATH=/opt/countersign/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
ENV COUNTERSIGN_STATE_DIR=/tmp/countersign COUNTERSIGN_STATIC_ROOT=/app/static
WORKDIR /app
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "--config", "python:registry_ui.gunicorn", "registry_ui.wsgi"]
