"""Made series with anomalies of five kinds, for examples, tests and benchmarks."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kerasae.validation import check_count, unknown

KINDS = ("spike", "level", "trend", "frequency", "correlation")
# Steps that an anomaly lasts, as parts of a period: the shortest and the longest.
LENGTHS = {
    "spike": (0.02, 0.06),
    "level": (0.4, 1.2),
    "trend": (0.8, 2.0),
    "frequency": (0.8, 2.0),
    "correlation": (0.8, 2.0),
}


class MadeSeries(NamedTuple):
    """A made series.

    Attributes:
        x_train: float32, (steps, channels): normal steps.
        x_test: float32, (test_steps, channels): the steps that follow, with anomalies.
        labels: bool, (test_steps,): whether each step is within an anomaly.
        events: One (start, end, kind) for each anomaly, in order; the end is the step after it.
        timestamps: datetime64, (steps + test_steps,): one step every quarter of an hour.
    """

    x_train: np.ndarray
    x_test: np.ndarray
    labels: np.ndarray
    events: list[tuple[int, int, str]]
    timestamps: np.ndarray


def make_series(
    steps: int = 4000,
    test_steps: int = 4000,
    channels: int = 3,
    *,
    period: int = 96,
    noise: float = 0.1,
    anomalies: int = 10,
    kinds: Sequence[str] = KINDS,
    seed: int = 0,
) -> MadeSeries:
    r"""Makes a seasonal series of several channels, and anomalies in its second part.

    $$x_{tc} = a_c (1 + m_t) \sin(2 \pi t / P + \phi_c) + b_c \sin(2 \pi k_c t / P + \psi_c) +
    w_c u_t + \epsilon_{tc}$$

    with the period P, an amplitude $1 + m_t$ and a level $u_t$ that wander slowly and are shared by
    the channels, and noise whose neighbours are correlated. An anomaly is a spike, a shift of the
    level, a trend that ends, another frequency, or a channel that leaves the others: for a while it
    has the values of another time.

    Args:
        steps: Normal steps to train on, at least 1.
        test_steps: Steps that follow, at least 1.
        channels: Channels, at least 1. The correlation of a single one with others is its phase.
        period: Steps of a season, at least 8.
        noise: Standard deviation of the noise, beside amplitudes of about 1.
        anomalies: How many, in turns of each kind; as many as have place are made.
        kinds: Kinds of anomalies, of "spike", "level", "trend", "frequency" and "correlation".
        seed: The same seed gives the same series.

    Returns:
        A `MadeSeries`.

    Raises:
        ValueError: An unknown kind, or a number that cannot be.

    Example:
        >>> made = make_series(anomalies=5, seed=1)
        >>> made.x_test.shape, sorted(kind for _, _, kind in made.events)
        ((4000, 3), ['correlation', 'frequency', 'level', 'spike', 'trend'])
    """
    for name, value in {"steps": steps, "test_steps": test_steps, "channels": channels}.items():
        check_count(name, value)
    for kind in kinds:
        if kind not in KINDS:
            raise ValueError(unknown("kind", kind, KINDS))
    if period < 8:
        raise ValueError(f"period must be at least 8. Received: period={period}")
    rng = np.random.default_rng(seed)
    spare = 4 * period  # what an anomaly of correlation is taken from
    parts = _parts(rng, steps + test_steps + spare, channels, period)
    x = sum(parts.values())
    error = _wander(rng, len(x), channels, 0.5) * noise
    events = _places(rng, test_steps, period, anomalies, kinds)
    for start, end, kind in events:
        channel = int(rng.integers(channels))
        inside = slice(steps + start, steps + end)
        x[inside, channel] += _change(rng, kind, inside, channel, parts, period)
    x = (x + error)[: steps + test_steps].astype("float32")
    labels = np.zeros(test_steps, bool)
    for start, end, _ in events:
        labels[start:end] = True
    first = np.datetime64("2026-01-01T00:00:00", "s")
    timestamps = first + np.arange(len(x)) * np.timedelta64(15 * 60, "s")
    return MadeSeries(x[:steps], x[steps:], labels, events, timestamps)


def _parts(rng, count, channels, period):
    """The season, its harmonic and the shared level, without noise, (count, channels) each."""
    t = np.arange(count)[:, None] * 2 * np.pi / period
    amplitude = 1 + 0.1 * _wander(rng, count, 1, 0.995)
    phases = rng.uniform(0, 2 * np.pi, (2, channels))
    harmonic = rng.integers(2, 5, channels)
    season = rng.uniform(0.7, 1.3, channels) * amplitude * np.sin(t + phases[0])
    second = rng.uniform(0.2, 0.5, channels) * amplitude * np.sin(harmonic * t + phases[1])
    shared = rng.uniform(0.2, 0.5, channels) * _wander(rng, count, 1, 0.98)
    return {"season": season, "second": second, "shared": shared}


def _wander(rng, count, channels, memory):
    """Autoregressive noise of variance 1."""
    shocks = rng.normal(size=(count, channels)) * np.sqrt(1 - memory**2)
    shocks[0] = rng.normal(size=channels)
    out = np.empty_like(shocks)
    value = np.zeros(channels)
    for i, shock in enumerate(shocks):
        value = memory * value + shock
        out[i] = value
    return out


def _places(rng, test_steps, period, anomalies, kinds):
    """Start, end and kind of each anomaly, in places of one length that keep apart."""
    width = test_steps // max(anomalies, 1)
    turns = [kinds[i % len(kinds)] for i in range(anomalies)]
    rng.shuffle(turns)
    events = []
    for i, kind in enumerate(turns):
        low, high = LENGTHS[kind]
        length = max(1, round(rng.uniform(low, high) * period))
        if length + period // 2 <= width:
            first = i * width + period // 4
            start = first + int(rng.integers(width - length - period // 2 + 1))
            events.append((start, start + length, kind))
    return events


def _change(rng, kind, inside, channel, parts, period):  # noqa: PLR0917
    """What an anomaly adds to its channel."""
    length = inside.stop - inside.start
    sign = rng.choice([-1.0, 1.0])
    if kind == "spike":
        return sign * rng.uniform(0.8, 1.6)
    if kind == "level":
        return sign * rng.uniform(0.4, 0.9)
    if kind == "trend":
        return sign * rng.uniform(0.8, 1.4) * np.linspace(0, 1, length)
    if kind == "frequency":
        # The season runs faster; what it runs ahead into is within two periods.
        ahead = (np.arange(length) * rng.uniform(1.5, 2.5)).astype(int) % (2 * period)
        season = parts["season"][:, channel]
        return season[inside.start + ahead] - season[inside]
    shift = round(rng.uniform(0.25, 0.75) * period)
    whole = sum(parts.values())[:, channel]
    return whole[inside.start + shift : inside.stop + shift] - whole[inside]
