# One image for web, worker, beat, migrations and the MLflow server of docker-compose.yml.
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --create-home --uid 10001 countersign
WORKDIR /app

COPY requirements.txt ./
RUN pip install --require-hashes --requirement requirements.txt

# MLflow's gate, for the MLflow server, and for what the worker signs.
COPY packages/mlflow_gate packages/mlflow_gate
RUN pip install --no-index --no-deps --no-build-isolation ./packages/mlflow_gate

COPY manage.py ./
COPY accounts accounts
COPY mirror mirror
COPY components components
COPY approvals approvals
COPY registry_ui registry_ui
COPY templates templates

ENV COUNTERSIGN_STATE_DIR=/var/lib/countersign COUNTERSIGN_STATIC_ROOT=/app/static
# The key is for this one command only; nothing is signed with it.
RUN mkdir -p /var/lib/countersign /var/lib/mlflow \
    && chown countersign:countersign /var/lib/countersign /var/lib/mlflow \
    && COUNTERSIGN_SECRET_KEY=only-for-collecting-the-static-files python manage.py collectstatic --no-input

USER countersign
EXPOSE 8000
CMD ["gunicorn", "registry_ui.wsgi", "--bind", "0.0.0.0:8000", "--workers", "3", "--threads", "4", \
     "--worker-tmp-dir", "/dev/shm", "--no-control-socket", "--access-logfile", "-"]
