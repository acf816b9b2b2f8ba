"""One kind of field for a moment: what people and addresses write, in the zone that its label names."""

from datetime import UTC, datetime

import pytest
from django import forms
from django.utils import timezone

from approvals.forms.audit import AccessForm, PeriodForm, PopulationForm, ReviewsForm
from approvals.forms.freezes import FreezeForm
from approvals.forms.history import MomentForm
from approvals.forms.history_filters import HistoryFilter
from approvals.forms.moments import LocalMomentField, MomentField, UntilField

FORMS = (AccessForm, PeriodForm, PopulationForm, ReviewsForm, MomentForm, FreezeForm)


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kolkata"])
def zone(request: pytest.FixtureRequest) -> object:
    """What the page is read in changes nothing."""
    with timezone.override(request.param):
        yield request.param


@pytest.mark.parametrize(
    ("typed", "moment", "after"),
    [
        ("2026-11-23", "2026-11-23T00:00:00", "2026-11-24T00:00:00"),
        ("2026-11-23T12:04", "2026-11-23T12:04:00", "2026-11-23T12:05:00"),
        ("2026-11-23 12:04", "2026-11-23T12:04:00", "2026-11-23T12:05:00"),
        ("2026-11-23T12:04:05", "2026-11-23T12:04:05", "2026-11-23T12:04:06"),
        ("2026-11-23T12:04Z", "2026-11-23T12:04:00", "2026-11-23T12:05:00"),
        ("2026-11-23T12:04+02:00", "2026-11-23T10:04:00", "2026-11-23T10:05:00"),
        ("2026-11-23T12:04:05 0200", "2026-11-23T10:04:05", "2026-11-23T10:04:06"),
        ("2026-03-08T02:30", "2026-03-08T02:30:00", "2026-03-08T02:31:00"),  # no such time in New York
    ],
)
def test_a_moment_is_in_utc_and_an_end_is_whole(zone: object, typed: str, moment: str, after: str) -> None:
    assert MomentField(label="At").clean(typed) == datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert UntilField(label="To").clean(typed) == datetime.fromisoformat(after).replace(tzinfo=UTC)


@pytest.mark.parametrize("typed", ["yesterday", "0001-01-01T00:00+14:00", "2026-13-01", "2026-11-23T25:00"])
def test_nonsense_is_refused_in_the_same_words(typed: str) -> None:
    for field in (MomentField(label="At"), UntilField(label="To")):
        with pytest.raises(forms.ValidationError, match="Enter a time such as"):
            field.clean(typed)
    with pytest.raises(forms.ValidationError, match="Enter a time such as"):
        UntilField(label="To").clean("9999-12-31")


def test_a_local_moment_is_what_clocks_there_show(zone: object) -> None:
    assert LocalMomentField(label="Begins").clean("2026-03-08T02:30") == datetime(2026, 3, 8, 2, 30)  # noqa: DTZ001


def test_what_was_kept_is_shown_as_the_label_says(zone: object) -> None:
    kept = datetime(2026, 7, 1, 22, 15, tzinfo=UTC)
    for field in (MomentField(label="At"), UntilField(label="To"), LocalMomentField(label="Begins")):
        form = type("Form", (forms.Form,), {"at": field})(initial={"at": kept})
        assert 'value="2026-07-01T22:15"' in str(form["at"])
    for field, shown in ((MomentField, "2026-07-01T00:00"), (UntilField, "2026-07-01T23:59")):
        form = type("Form", (forms.Form,), {"at": field(label="At")})({"at": "2026-07-01"})
        assert f'value="{shown}"' in str(form["at"])  # the browser's picker shows nothing for a bare day


def test_every_field_of_a_moment_is_of_this_kind_and_names_its_zone() -> None:
    fields = [field for form in FORMS for field in form.base_fields.values()]
    fields += [each.field for each in HistoryFilter.base_filters.values()]
    moments = [field for field in fields if isinstance(field, forms.DateTimeField)]
    assert len(moments) == 12
    for field in moments:
        assert isinstance(field, MomentField | LocalMomentField)
        assert str(field.label).endswith(("(UTC)", "(time zone above)"))
        assert field.widget.input_type == "datetime-local"
