"""What a curve says by itself: functions of a series that any training log holds, each usable alone.

Plain numpy. Axes: T looks, Q coordinates of a vector seen at each look, P parameters. A series is evenly
spaced unless a function takes its steps; :func:`evenly` makes it so. Early looks of a log-spaced clock
are denser, and what is said of frequencies or windows would be said of the clock. All cost O(T) or
O(T log T) unless they say otherwise. A series that holds NaN or infinity has NaN for a value, unless a
function says that it leaves such looks out.

Two measures store what these need and a snapshot has: quantiles of the training log-probability, for
:func:`dmd_residuals`, and a sketch of the weights, for :func:`angle`.
"""

import math
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field

from grokscope.errors import BadInput
from grokscope.measures.base import Measure, Snapshot, Values
from grokscope.measures.memorization import log_probability
from grokscope.sources import Source
from grokscope.trace import Floats, Quantity

NOTHING = 1e-12
"""What is left of a series, as a share of its largest value, counts as rounding below this (ours)."""
CHUNK = 1 << 20  # parameters that a sketch takes at a time, which bounds its memory


def evenly(steps_T: ArrayLike, values_T: ArrayLike, spacing: float) -> Floats:
    """The series at first step, first step + spacing, … by linear interpolation; spacing in steps, > 0.

    Interpolating between sparse looks smooths: choose the spacing of the sparsest stretch that matters.

    Raises:
        BadInput: a spacing that is not above 0.
    """
    if not spacing > 0:
        raise BadInput(f"spacing must be above 0 steps, got {spacing}.")
    steps, values = _series(steps_T), _series(values_T)
    if not len(steps):
        return values
    return np.interp(np.arange(steps[0], steps[-1] + 1e-9 * spacing, spacing), steps, values)


def detrend(values_T: ArrayLike, degree: int = 1) -> Floats:
    """The series less its least-squares polynomial, (T,), in its own unit; degree 0 takes out the mean alone."""
    values = _series(values_T)
    if not np.isfinite(values).all():
        return np.full(len(values), math.nan)
    powers = np.polynomial.legendre.legvander(np.linspace(-1.0, 1.0, len(values)), degree)
    return values - powers @ np.linalg.lstsq(powers, values, rcond=None)[0]


# Oscillation.


class SpectralSignature(NamedTuple):
    """Hjorth's parameters of a series, from the moments of its power spectrum."""

    activity: float
    """m₀, the variance, in the unit of the series squared; ≥ 0."""
    mobility: float
    """√(m₂/m₀), the mean frequency, in radians per unit of spacing; ≥ 0."""
    complexity: float
    """√(m₄/m₂), as Notsawo et al. print it: the mobility of the derivative; ≥ mobility."""
    hjorth_complexity: float
    """√(m₄/m₂) / √(m₂/m₀), as Hjorth has it: 1 for a pure sine, more for anything else."""


def spectral_signature(values_T: ArrayLike, spacing: float = 1.0, degree: int = 1) -> SpectralSignature:
    """Activity, mobility and complexity of the de-trended series; all 0 where nothing is left, NaN for no looks.

    m_n = Σ_ω ωⁿ |F(ω)|² / T² over the discrete Fourier transform F, so m₀ = mean square [Notsawo et al.
    2023]. Their activity is ∫L²dt; ours is divided by the length, so that a longer look is no more active.
    They look at the first 400 steps of the training loss without its low frequencies and do not say how
    these are removed: a polynomial of ``degree`` is a reconstruction. That high activity announces grokking is
    their conjecture from two heat-maps, without an error rate.

    A√2·cos of a whole number of waves at frequency ω has activity A², mobility and printed complexity ω,
    Hjorth's complexity 1. Activity scales with the square of the series and the other three do not.
    A series that ends far from where it began counts as one with a jump, which raises all but the activity.
    """
    values = _series(values_T)
    if not len(values) or not np.isfinite(values).all():
        return SpectralSignature(math.nan, math.nan, math.nan, math.nan)
    left = detrend(values, degree)
    if not np.abs(left).max() > NOTHING * np.abs(values).max():
        return SpectralSignature(0.0, 0.0, 0.0, 0.0)
    power = np.abs(np.fft.rfft(left)) ** 2 / len(left) ** 2
    power[1 : (len(left) + 1) // 2] *= 2  # rfft leaves out the negative frequencies
    omega = 2 * math.pi * np.fft.rfftfreq(len(left), spacing)
    m0, m2, m4 = (float((omega**n * power).sum()) for n in (0, 2, 4))
    mobility, complexity = math.sqrt(m2 / m0), math.sqrt(m4 / m2)
    return SpectralSignature(m0, mobility, complexity, complexity / mobility)


def oscillation(values_T: ArrayLike, window: int = 50) -> float:
    """Standard deviation of the last ``window`` looks around their own straight line; ≥ 0, unit of the series.

    A straight line has 0, white noise of standard deviation σ about σ√(1 − 2/window). NaN for a window of fewer
    than 3 looks. [Howe 2026, osc(train CE), 50 looks]
    """
    last = _series(values_T)[-max(window, 1) :]
    return float(np.sqrt(np.mean(detrend(last) ** 2))) if len(last) > 2 else math.nan


def autocorrelation(values_T: ArrayLike, lag: int = 1) -> float:
    """Σ_t x_t x_{t+lag} / Σ_t x_t² of the series less its mean, in [−1, 1].

    An AR(1) process x_t = φ x_{t−1} + noise has φ at lag 1, less a bias of about (1 + 4φ)/T. A trend
    passes for correlation: :func:`detrend` first. NaN for a constant series and for a lag outside 0 … T − 1. It
    rises towards 1 as a system slows down before a transition (critical slowing down).
    """
    values = _series(values_T)
    if not 0 <= lag < len(values):
        return math.nan
    x = detrend(values, 0)
    if not np.abs(x).max() > NOTHING * np.abs(values).max():
        return math.nan
    return float((x[: len(x) - lag] * x[lag:]).sum() / (x * x).sum())


# Slopes.


def slope(x_T: ArrayLike, y_T: ArrayLike) -> float:
    """Least-squares slope of y on x, in y's unit per x's; NaN where all x are one or there are none."""
    x, y = _series(x_T), _series(y_T)
    if not len(x) or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return math.nan
    x = x - x.mean()
    square = float((x * x).sum())
    return float((x * (y - y.mean())).sum() / square) if square > 0 else math.nan


def plateau_slope(steps_T: ArrayLike, losses_T: ArrayLike) -> float:
    """Slope of ln loss per step over the looks given, those of the plateau: 0 on a true one.

    c·e^{−rt} has −r whatever c. Looks with a loss of 0 (softmax collapse) have no logarithm and are left
    out, as are those of NaN; NaN where fewer than two looks remain.
    """
    steps, losses = _series(steps_T), _series(losses_T)
    seen = losses > 0
    return slope(steps[seen], np.log(losses[seen])) if seen.sum() > 1 else math.nan


def contraction_rate(steps_T: ArrayLike, squares_T: ArrayLike, floor: float = 0.0) -> float:
    """r of V_t = floor + (V_0 − floor) e^{−rt}, by the slope of ln(V − floor), per step; > 0 while V falls.

    V = ‖θ‖² over all parameters, from t_train on. Weight decay alone contracts at exactly 2ηλ under SGD;
    AdamW at about 2κηλ with κ ≈ 0.2 to 0.4 by architecture. [Truong et al. 2026, first passage]
    Looks at or below ``floor`` are left out.
    """
    return -plateau_slope(steps_T, _series(squares_T) - floor)


def fit_contraction(steps_T: ArrayLike, squares_T: ArrayLike, grid: int = 41, zooms: int = 8) -> tuple[float, float]:
    """Rate r per step and floor V_∞ of V_t = V_∞ + c e^{−rt}, by least squares. O(grid · zooms · T).

    For each r the best floor and c are a line's; r is searched on a logarithmic grid from 1/100 to 100
    per series, which is narrowed ``zooms`` times. Reconstruction: the paper fits ln(V − V_∞) and does not say how V_∞
    is found. Of a series that shows little of its bend the floor is a guess. r is above 0
    also where V rises, to a V_∞ above it. Of fewer than three looks both are NaN, of a constant series the rate is.
    """
    steps, squares = _series(steps_T), _series(squares_T)
    if len(squares) < 3 or steps[-1] <= steps[0] or not np.isfinite(squares).all():
        return math.nan, math.nan
    if not np.ptp(squares) > NOTHING * np.abs(squares).max():
        return math.nan, float(squares[-1])
    time = (steps - steps[0]) / (steps[-1] - steps[0])
    low, high = math.log(1e-2), math.log(1e2)
    best = (math.inf, 0.0, 0.0)
    centred = squares - squares.mean()
    for _ in range(zooms):
        logs_G = np.linspace(low, high, grid)
        decays_GT = np.exp(-np.exp(logs_G)[:, None] * time)
        means_G = decays_GT.mean(1)
        decays_GT -= means_G[:, None]
        c_G = (decays_GT @ centred) / np.square(decays_GT).sum(1)
        errors_G = np.square(centred - c_G[:, None] * decays_GT).sum(1)
        i = int(errors_G.argmin())
        best = min(best, (float(errors_G[i]), float(logs_G[i]), float(squares.mean() - c_G[i] * means_G[i])))
        reach = (high - low) / (grid - 1)
        low, high = best[1] - reach, best[1] + reach
    return math.exp(best[1]) / float(steps[-1] - steps[0]), best[2]


def contraction_constant(rate: float, lr: float, weight_decay: float) -> float:
    """κ = r / (2ηλ): 1 where weight decay is all that moves the norm, NaN without any. [Truong et al. 2026]"""
    return rate / (2 * lr * weight_decay) if lr * weight_decay else math.nan


# Direction.


def angle(u_P: ArrayLike, v_P: ArrayLike) -> float:
    """Angle between two vectors in degrees, [0, 180]; NaN for a vector of zeros.

    2 atan2(‖û − v̂‖, ‖û + v̂‖) with unit vectors û and v̂, which unlike arccos keeps its digits at small
    angles. Of weights: α_t = angle(θ_t, θ at t_train), seen to stop near 53 ± 8° at grokking.
    [Truong et al. 2026, quantile-margin theorem] Of :func:`sketch`es it has the error of these.
    """
    u, v = _series(u_P), _series(v_P)
    largest = np.abs(u).max(initial=0.0), np.abs(v).max(initial=0.0)
    if not all(0 < size < math.inf for size in largest):
        return math.nan
    u, v = u / largest[0], v / largest[1]  # squares of very long or short vectors would leave the range of float64
    u, v = u / np.linalg.norm(u), v / np.linalg.norm(v)
    return math.degrees(2 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v))))


def sketch(vector_P: ArrayLike, size: int, seed: int) -> Floats:
    """Count sketch S v of a long vector, (size,): each entry is added to one random place with a random sign.

    S_j = Σ_{i: h(i) = j} s_i v_i. Linear, with E⟨Su, Sv⟩ = ⟨u, v⟩ and a variance of at most
    (‖u‖²‖v‖² + ⟨u, v⟩²)/size, so 4096 places give the cosine to ± 0.02 and small angles to ± 1.1 %.
    [Charikar, Chen & Farach-Colton 2002] O(P) time, some 40 MiB beside the vector; h and s are drawn anew from
    ``seed`` on each call, so equal seeds, sizes and lengths share them and no global state is touched.
    """
    return sketch_parts([vector_P], size, seed)


def sketch_parts(parts: Iterable[ArrayLike], size: int, seed: int) -> Floats:
    """:func:`sketch` of a vector that is given piece by piece, so that no more than a piece is ever held twice.

    The same as of the whole vector, but for the order of its sums: equal to about 1e-12 of its length.
    """
    generator = np.random.default_rng(seed)
    total = np.zeros(size)
    for piece in parts:
        vector = _series(piece)
        for start in range(0, len(vector), CHUNK):
            part = vector[start : start + CHUNK]
            drawn = generator.integers(2 * size, size=len(part))
            total += np.bincount(drawn >> 1, weights=np.where(drawn & 1, part, -part), minlength=size)
    return total


def relative_change(before_P: ArrayLike, after_P: ArrayLike) -> float:
    """‖after − before‖ / ‖before‖, ≥ 0: the feature change of Thilak et al. 2022, of any array; NaN from nothing."""
    before, after = _series(before_P), _series(after_P)
    size = float(np.linalg.norm(before))
    return float(np.linalg.norm(after - before)) / size if size else math.nan


# Hankel dynamic mode decomposition.


def quantiles(values_N: ArrayLike, levels: int = 19) -> Floats:
    """Quantiles at evenly spaced levels from 5 % to 95 %, (levels,), rising; NumPy's linear rule; NaN of no values.

    A distribution's quantiles are the coordinates in which the Wasserstein distance of distributions on a
    line is that of vectors. Order of the values does not matter. O(N log N).
    """
    values = _series(values_N)
    at = np.linspace(0.05, 0.95, levels)
    return np.quantile(values, at) if len(values) else np.full(levels, math.nan)


def hankel(series_TQ: ArrayLike, delays: int) -> Floats:
    """Columns [q_t; q_{t−1}; …; q_{t−delays+1}], (delays · Q, T − delays + 1)."""
    series = _vectors(series_TQ)
    count = max(0, len(series) - delays + 1)
    return np.concatenate([series[delays - 1 - d : delays - 1 - d + count].T for d in range(delays)])


def dmd_residual(series_TQ: ArrayLike, delays: int = 8, energy: float = 0.99, rank: int = 10) -> float:
    """Share of a window's motion that no linear map of its last ``delays`` looks explains, in [0, 1].

    H = :func:`hankel` of the series, each coordinate standardised over the window; X = H without its last
    column, Y = H without its first; X = U S Vᵀ cut to the r largest singular values that hold ``energy`` of
    Σ S², at most ``rank``; A = UᵀY V S⁻¹. Residual = ‖Y − U A Uᵀ X‖ / ‖Y‖ (Frobenius).

    A series that is a sum of at most r exponentials, complex ones and the constant included, has 0 with
    ``energy`` 1; with 0.99 what is cut off remains, about √(1 − energy) = 0.1. White noise of Q = 19 has
    about 0.78. A constant window has 0. Scaling or shifting a coordinate changes nothing.
    Reconstruction: of the method only its steps are public, not its window, delays, rank or quantiles.
    [Wang, Ying & Kanamori 2026; defaults ours] NaN for fewer than delays + 2 looks. O(d²Q·T²) at most.
    """
    series = _vectors(series_TQ)
    if len(series) < delays + 2 or not np.isfinite(series).all():
        return math.nan
    centred = series - series.mean(0)
    moves = np.abs(centred).max(0) > NOTHING * np.abs(series).max(0)
    h = hankel(centred[:, moves] / centred[:, moves].std(0), delays)
    x, y = h[:, :-1], h[:, 1:]
    u, s, vt = np.linalg.svd(x, full_matrices=False)
    if not s.any():
        return 0.0
    held = np.cumsum(s**2) / (s**2).sum()
    keep = s > s[0] * max(x.shape) * np.finfo(np.float64).eps
    r = min(int(np.searchsorted(held, energy)) + 1, rank, int(keep.sum()))
    u, vt = u[:, :r], vt[:r]
    return float(np.linalg.norm(y - u @ ((u.T @ (y @ vt.T)) @ vt)) / np.linalg.norm(y))


def dmd_residuals(
    series_TQ: ArrayLike, window: int = 40, delays: int = 8, energy: float = 0.99, rank: int = 10
) -> Floats:
    """:func:`dmd_residual` of the last ``window`` looks at each look, (T,); NaN until there are as many."""
    series = _vectors(series_TQ)
    ends = range(1, len(series) + 1)
    return np.array(
        [dmd_residual(series[e - window : e], delays, energy, rank) if e >= window else math.nan for e in ends]
    )


# Slingshots.


class Slingshot(NamedTuple):
    """One cycle, by look."""

    spike: int
    """Look at which the loss jumped."""
    growth_before: float
    """Relative growth of the last layer's norm over the window before the spike."""
    growth_after: float
    """The same over the window after it."""


def slingshots(
    norms_T: ArrayLike,
    losses_T: ArrayLike,
    window: int = 20,
    spike: float = 10.0,
    growth: float = 0.01,
    least: float = 1e-3,
) -> list[Slingshot]:
    """Cycles of rapid growth of the last layer's norm, a spike of the training loss, a plateau of the norm.

    [Thilak et al. 2022, in words] As a rule (ours): the loss exceeds ``least`` and ``spike`` times its median
    over the ``window`` looks before; over these the norm grew by the share ``growth`` or more; over as many
    after, less than half as much. Looks that follow a spike within the window belong to it, and a
    spike without a look after it is not yet a cycle. A loss spike over a still norm is none: float32 makes
    such ones too (Liu et al. 2026 hold that low precision drives the slingshots themselves).

    Args:
        norms_T: Euclidean norm of the last layer.
        losses_T: training loss, at the same looks, evenly spaced.
        window: looks, ≥ 2.
        spike: times the median.
        growth: share of the norm.
        least: loss below which nothing counts as a spike.

    Raises:
        BadInput: a window below 2, or series of different lengths.
    """
    norms, losses = _series(norms_T), _series(losses_T)
    if window < 2 or len(norms) != len(losses):
        raise BadInput(f"window must be >= 2 and norms as many as losses; got {window}, {len(norms)}, {len(losses)}.")
    found: list[Slingshot] = []
    t = window
    while t < len(losses) - 1:
        if (
            losses[t] > max(least, spike * float(np.median(losses[t - window : t])))
            and norms[t - window] > 0 < norms[t]
        ):
            before = float(norms[t] / norms[t - window] - 1)
            end = min(t + window, len(norms) - 1)
            after = float(norms[end] / norms[t] - 1) * window / (end - t)
            if before >= growth and after < before / 2:
                found.append(Slingshot(t, before, after))
            t += window
        else:
            t += 1
    return found


# What a snapshot gives to these.


class LogProbabilityQuantiles(Measure):
    """Quantiles of the training rows' log-probability, the series that :func:`dmd_residuals` reads.

    Training rows only, so that it can warn without held-out data; the paper may have used held-out ones.
    The log-probability of a row is that of all its wanted tokens; float64, so that 1 − p down to 1e-16 shows.
    """

    kind: ClassVar[str] = "log-probability-quantiles"
    cost: ClassVar[float] = 0.15
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "dynamics/log_probability",
            "nats",
            (-float("inf"), 0.0),
            "quantiles 5 to 95 % of ln p of training rows",
            array=True,
        ),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("wang2026distributional", "quantiles of train log-probability"),)

    levels: int = Field(default=19, ge=1)
    """Quantiles, evenly spaced from 5 to 95 %."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """``dynamics/log_probability``, (levels,)."""
        rows = snapshot.split.rows["train"]
        log_p_N = log_probability(snapshot.logits_NRV[rows], snapshot.targets_NR[rows])
        return {"dynamics/log_probability": quantiles(log_p_N.cpu().numpy(), self.levels).astype(np.float32)}


class WeightSketch(Measure):
    """A count sketch of all weights, from which :func:`angle` has the turn between any two looks.

    Weights are taken in the order of the module's parameters. The angle to t_train needs no second pass over
    the run: ``angle(sketch at t, sketch at t_train)``.
    """

    kind: ClassVar[str] = "weight-sketch"
    cost: ClassVar[float] = 0.1
    quantities: ClassVar[tuple[Quantity, ...]] = (
        Quantity(
            "dynamics/weight_sketch",
            "weight",
            (-float("inf"), float("inf")),
            "random signed sums of all weights",
            array=True,
        ),
    )
    sources: ClassVar[tuple[Source, ...]] = (Source("truong2026first", "angle of the weights"),)

    size: int = Field(default=4096, ge=1)
    """Sums; the angle's error falls with its root."""
    seed: int = Field(default=0, ge=0)
    """Which random sums; sketches of different seeds cannot be compared."""

    def __call__(self, snapshot: Snapshot) -> Values:
        """``dynamics/weight_sketch``, (size,)."""
        weights_P = torch.cat([p.detach().flatten().double().cpu() for p in snapshot.network.parameters()])
        return {"dynamics/weight_sketch": sketch(weights_P.numpy(), self.size, self.seed).astype(np.float32)}


def _series(values: ArrayLike) -> Floats:
    if isinstance(values, torch.Tensor):  # numpy knows neither bfloat16 nor what asks for a gradient
        values = values.detach().double().cpu().numpy()
    return np.asarray(values, dtype=np.float64).ravel()


def _vectors(values: ArrayLike) -> Floats:
    if isinstance(values, torch.Tensor):
        values = values.detach().double().cpu().numpy()
    series = np.asarray(values, dtype=np.float64)
    return series.reshape(len(series), math.prod(series.shape[1:]))
