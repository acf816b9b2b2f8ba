"""Serves the version that is in Production when it starts; after a promotion, restart it.

MLFLOW_TRACKING_URI=http://127.0.0.1:5000 MODEL_NAME=churn_predictor uvicorn --app-dir examples serve:app --port 8080
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mlflow.sklearn
import pandas as pd
from fastapi import FastAPI, HTTPException, Request
from mlflow import MlflowClient
from pydantic import BaseModel

MODEL_NAME = os.environ.get("MODEL_NAME", "churn_predictor")


class Customers(BaseModel):
    rows: list[dict[str, float]]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    found = MlflowClient().get_latest_versions(MODEL_NAME, stages=["Production"])
    if not found:
        raise RuntimeError(f"No version of {MODEL_NAME} is in Production.")
    app.state.version = found[0]
    app.state.model = mlflow.sklearn.load_model(f"models:/{MODEL_NAME}/Production")
    yield


app = FastAPI(title="Churn", lifespan=lifespan)


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/version")
def version(request: Request) -> dict[str, Any]:
    served = request.app.state.version
    return {"model": MODEL_NAME, "version": int(served.version), "run_id": served.run_id}


@app.post("/predict")
def predict(customers: Customers, request: Request) -> dict[str, Any]:
    """The chance to leave of each customer, as a number from 0 to 1."""
    model = request.app.state.model
    frame = pd.DataFrame(customers.rows)
    if missing := [name for name in model.feature_names_in_ if name not in frame]:
        raise HTTPException(422, f"Missing: {', '.join(missing)}.")
    chance = model.predict_proba(frame[list(model.feature_names_in_)])[:, 1]
    return {"version": int(request.app.state.version.version), "churn": [float(value) for value in chance]}
