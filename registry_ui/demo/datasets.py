"""Data that the demo's models are trained on: generated from fixed seeds, with noise and drift as real data has.

Every model has one hold-out, set aside before anything else, on which all of its versions are measured.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

FIRST_MONTH = pd.Timestamp("2026-04-01")


@dataclass(frozen=True)
class Split:
    """Rows up to the cutoff for training, and the model's hold-out. The target is a column of both."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    target: str

    @property
    def digest(self) -> str:
        """SHA-256 of the training rows, as CSV text with the column names."""
        return hashlib.sha256(self.train.to_csv(index=False).encode()).hexdigest()


def churn(cutoff: str) -> Split:
    """Customers at the end of a month, and whether they left in the next.

    After a price rise in July the charge weighs more every month.
    """
    rng = np.random.default_rng(41)
    rows = 1600 * 7
    month = np.repeat(np.arange(7), 1600)
    frame = pd.DataFrame(
        {
            "tenure_months": rng.gamma(2.0, 14.0, rows).round().clip(1, 120),
            "monthly_charge": rng.normal(62, 21, rows).clip(12, 140).round(2),
            "support_tickets": rng.poisson(1.4, rows).astype(float),
            "days_since_login": rng.exponential(9, rows).round(1).clip(0, 90),
            "failed_payments": rng.poisson(0.25, rows).astype(float),
            "sessions_last_month": rng.poisson(14, rows).astype(float),
            "has_yearly_contract": rng.binomial(1, 0.38, rows).astype(float),
        }
    )
    after_rise = np.clip(month - 2, 0, 4) / 4
    score = (
        -2.1
        - 0.030 * frame["tenure_months"]
        + (0.004 + 0.034 * after_rise) * (frame["monthly_charge"] - 62)
        + 0.38 * frame["support_tickets"]
        + 0.070 * frame["days_since_login"]
        + 0.85 * frame["failed_payments"]
        - 0.045 * (frame["sessions_last_month"] - 14)
        - 1.25 * frame["has_yearly_contract"]
        + 0.9 * ((frame["support_tickets"] >= 3) & (frame["tenure_months"] < 12))
    )
    frame["churned"] = rng.binomial(1, 1 / (1 + np.exp(-score)))
    is_set_aside = (rng.random(rows) < 0.35) & (month >= 5)
    return _split(frame, month, is_set_aside, cutoff, "churned")


def credit(cutoff: str) -> Split:
    """Loans and whether they defaulted within a year."""
    rng = np.random.default_rng(42)
    rows = 700 * 7
    month = np.repeat(np.arange(7), 700)
    income = rng.lognormal(10.4, 0.45, rows).round()
    amount = (income * rng.uniform(0.1, 1.4, rows)).round()
    frame = pd.DataFrame(
        {
            "income": income,
            "amount": amount,
            "debt_to_income": (amount / income).round(3),
            "years_employed": rng.gamma(1.8, 3.2, rows).round(1),
            "late_payments": rng.poisson(0.6, rows).astype(float),
            "open_accounts": rng.poisson(4, rows).astype(float),
        }
    )
    score = -2.4 + 1.7 * frame["debt_to_income"] - 0.11 * frame["years_employed"] + 0.65 * frame["late_payments"]
    score += 0.5 * (frame["late_payments"] > 1) * frame["debt_to_income"] - 0.4 * (np.log(income) - 10.4)
    frame["defaulted"] = rng.binomial(1, 1 / (1 + np.exp(-score)))
    return _split(frame, month, rng.random(rows) < 0.25, cutoff, "defaulted")


def demand(cutoff: str) -> Split:
    """Units sold by a shop on a day."""
    rng = np.random.default_rng(43)
    rows = 500 * 7
    month = np.repeat(np.arange(7), 500)
    frame = pd.DataFrame(
        {
            "weekday": rng.integers(0, 7, rows).astype(float),
            "month": (month + 4).astype(float),
            "price": rng.normal(4.2, 0.5, rows).round(2),
            "is_promotion": rng.binomial(1, 0.18, rows).astype(float),
            "temperature": (14 + 9 * np.sin((month + 1) / 2.2) + rng.normal(0, 4, rows)).round(1),
        }
    )
    weekend = frame["weekday"] >= 5
    level = 120 + 55 * weekend + 48 * frame["is_promotion"] * (1 + weekend) - 30 * (frame["price"] - 4.2)
    level += 2.2 * np.clip(frame["temperature"] - 18, 0, None) ** 1.3
    frame["units"] = (level + rng.normal(0, 12, rows)).clip(0).round(1)
    return _split(frame, month, rng.random(rows) < 0.25, cutoff, "units")


_QUEUES = {
    "billing": "invoice charged twice refund payment card receipt tax amount billing price",
    "access": "login password locked reset code account sign browser session expired",
    "outage": "down error timeout slow unavailable failing crash status 500 outage",
    "feature": "would like export add support option integrate request wish improve report",
}
_CHATTER = "please help the my is since yesterday again we cannot it on and our team account page today"


def tickets(cutoff: str) -> Split:
    """Subjects of support tickets and the queue that solved them; every seventh ticket was filed into a wrong queue."""
    rng = np.random.default_rng(44)
    rows = 250 * 7
    month = np.repeat(np.arange(7), 250)
    names = sorted(_QUEUES)
    queue = rng.choice(names, rows)
    words = [[*rng.choice(_QUEUES[name].split(), 2), *rng.choice(_CHATTER.split(), 5)] for name in queue]
    subjects = [" ".join(rng.permutation(each)) for each in words]
    filed = np.where(rng.random(rows) < 1 / 7, rng.choice(names, rows), queue)
    frame = pd.DataFrame({"subject": subjects, "queue": filed})
    return _split(frame, month, rng.random(rows) < 0.25, cutoff, "queue")


def table(cutoff: str, *, seed: int, columns: tuple[str, ...], target: str, is_amount: bool = False) -> Split:
    """A small table for the models beside the four that the story is about: normal columns, of which the first matters
    most and gains weight by the month, and a target that is yes or no, or an amount."""
    rng = np.random.default_rng(seed)
    rows = 120 * 7
    month = np.repeat(np.arange(7), 120)
    frame = pd.DataFrame({column: rng.normal(0, 1, rows).round(3) for column in columns})
    score = sum(frame[column] / (place + 1) for place, column in enumerate(columns)) + frame[columns[0]] * month / 8
    noisy = score + rng.normal(0, 0.8, rows)
    frame[target] = (40 + 12 * noisy).round(1) if is_amount else (noisy > 0.4).astype(int)
    return _split(frame, month, rng.random(rows) < 0.3, cutoff, target)


def _split(frame: pd.DataFrame, month: "np.ndarray", is_set_aside: "np.ndarray", cutoff: str, target: str) -> Split:
    last = (pd.Timestamp(cutoff).year - FIRST_MONTH.year) * 12 + pd.Timestamp(cutoff).month - FIRST_MONTH.month
    train = frame[~is_set_aside & (month <= last)].reset_index(drop=True)
    return Split(train, frame[is_set_aside].reset_index(drop=True), target)
