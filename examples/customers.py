"""Customers for the examples: generated from a seed, more of them the later the cutoff."""

import numpy as np
import pandas as pd

FEATURES = ["tenure_months", "monthly_charge", "support_tickets", "days_since_login"]
TARGET = "churned"


def until(cutoff: str) -> pd.DataFrame:
    """All customers seen up to the cutoff (a date, YYYY-MM-DD), with `churned`: 400 a month since January 2026."""
    months = (pd.Timestamp(cutoff) - pd.Timestamp("2026-01-01")).days // 30 + 1
    return _generate(400 * max(months, 1), seed=11)


def set_aside() -> pd.DataFrame:
    """800 customers that nobody trains on."""
    return _generate(800, seed=12)


def _generate(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "tenure_months": rng.gamma(2.0, 14.0, rows).round(),
            "monthly_charge": rng.normal(62, 21, rows).round(2),
            "support_tickets": rng.poisson(1.4, rows).astype(float),
            "days_since_login": rng.exponential(9, rows).round(1),
        }
    )
    score = -1.9 - 0.03 * frame["tenure_months"] + 0.02 * (frame["monthly_charge"] - 62)
    score += 0.45 * frame["support_tickets"] + 0.07 * frame["days_since_login"]
    frame[TARGET] = rng.binomial(1, 1 / (1 + np.exp(-score)))
    return frame
