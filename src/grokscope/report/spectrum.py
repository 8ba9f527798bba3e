"""The embedding in Fourier space, as plain data: power per frequency over time, and the circles."""

import base64

import numpy as np
from numpy.typing import NDArray

from grokscope.record import Record
from grokscope.report import look
from grokscope.report.curves import edges
from grokscope.report.panels import NANDA, Panel
from grokscope.sources import Source

CELLS = 60_000
"""Cells of the heat-map at most; above it looks are thinned."""
COORDINATES = 400_000
"""Numbers in the circles at most; above it looks are thinned."""
SHOWN = 8
"""Frequencies that can be chosen, strongest first."""
Looks = list[tuple[int, NDArray[np.generic]]]


def spectrum(record: Record, member: int) -> Panel | None:
    """Share of the embedding's power per frequency, look by look."""
    looks = [(s, a) for s, a in record.trace.arrays("fourier/embedding_power", member) if np.isfinite(a).all()]
    if not looks or looks[-1][1].ndim != 1:
        return None
    looks = thin(looks, max(2, CELLS // looks[0][1].size))
    power = np.array([a for _, a in looks], dtype=np.float64)
    steps = [s for s, _ in looks]
    keys = key_frequencies(record, member)
    final = power[-1]
    seed = record.members[member].seed
    heading, named = _says(final, keys)
    marked = keys[:SHOWN] or [int(k) + 1 for k in np.argsort(-final)[:SHOWN] if final[k] > 4 / len(final)]
    return {
        "id": "spectrum",
        "heading": heading,
        "note": f"Share of the embedding's power at each frequency k, the constant left out.{named} Seed {seed}.",
        "source": str(NANDA),
        "steps": steps,
        "edges": [round(e, 3) for e in edges(steps)],
        "power": [[float(f"{v:.3g}") for v in row] for row in power.T.tolist()],
        "marked": sorted(marked),
    }


def _says(final: NDArray[np.float64], keys: list[int]) -> tuple[str, str]:
    """(heading, words about the key frequencies) of the spectrum."""
    if not keys:
        return "Power of the embedding's frequencies", ""
    many = len(keys) > SHOWN
    named = (
        f" Key frequencies{f', the {SHOWN} strongest' if many else ''}: {', '.join(map(str, sorted(keys[:SHOWN])))}."
    )
    if len(keys) >= len(final) / 2:
        return f"The power is spread over {len(keys)} of {len(final)} frequencies", named
    share = look.percent(float(final[np.array(keys) - 1].sum()), 0)
    noun = "frequency carries" if len(keys) == 1 else "frequencies carry"
    return f"{look.count(len(keys)).capitalize()} of {len(final)} {noun} {share} of the embedding", named


def circles(record: Record, member: int) -> Panel | None:
    """The elements on the planes of the key frequencies, look by look."""
    looks = [(s, a) for s, a in record.trace.arrays("fourier/circle", member) if a.ndim == 3 and np.isfinite(a).all()]
    keys = key_frequencies(record, member)
    if not looks or not keys or len(looks[-1][1]) != len(keys):
        return None
    keys = keys[:SHOWN]
    looks = thin(looks, max(8, COORDINATES // (len(keys) * looks[0][1][0].size)))
    table = np.array([a[: len(keys)] for _, a in looks], dtype=np.float64)  # looks, keys, elements, 2
    scale = np.abs(table).max(axis=(0, 2, 3))
    scale[scale == 0] = 1.0
    ints = np.round(table / scale[None, :, None, None] * 32767).astype("<i2")
    roundness = [[round(float(circularity(plane, k)), 4) for k, plane in zip(keys, one, strict=True)] for one in table]
    rms = np.sqrt((table**2).sum(-1).mean(-1))  # looks, keys
    reach = np.maximum(rms[-1] / 0.78, rms.max(axis=0) * 1.35)  # the finished circle fills the picture
    reach = np.maximum(reach, np.sqrt((table[-1] ** 2).sum(-1)).max(-1) * 1.05)
    reach[reach == 0] = 1.0
    elements = table.shape[2]
    best = 0 if roundness[-1][0] > 0.8 else int(np.argmax(roundness[-1]))
    heading = (
        f"{elements} numbers become a circle"
        if roundness[-1][best] > 0.8
        else f"{elements} numbers, seen along one frequency"
    )
    return {
        "id": "circle",
        "heading": heading,
        "note": (
            "Each dot is an element's embedding on the plane that a key frequency k spans in the finished model, "
            "coloured "
            f"by k·a mod {elements}: its place on a perfect circle. Seed {record.members[member].seed}."
        ),
        "source": str(Source("nanda2023progress", "Sec. 4.1, App. C")),
        "steps": [s for s, _ in looks],
        "keys": keys,
        "best": best,
        "elements": elements,
        "roundness": roundness,
        "table": base64.b64encode(ints.tobytes()).decode("ascii"),
        "scale": [float(f"{s:.6g}") for s in scale],
        "reach": [float(f"{s:.6g}") for s in reach],
    }


def circularity(plane: NDArray[np.float64], frequency: int) -> float:
    """Share of the points' power that is a circle of this frequency, run through in either sense, in [0, 1].

    With z_a = x_a + i·y_a, the larger of |Σ_a z_a e^{∓2πi k a / P}|² / (P Σ |z_a|²).
    """
    z = plane[:, 0] + 1j * plane[:, 1]
    p = len(z)
    turn = np.exp(2j * np.pi * frequency * np.arange(p) / p)
    total = p * float((np.abs(z) ** 2).sum())
    return max(abs((z * turn).sum()) ** 2, abs((z * turn.conj()).sum()) ** 2) / total if total else 0.0


def key_frequencies(record: Record, member: int) -> list[int]:
    """The finished model's key frequencies, strongest first; empty while it is not finished."""
    looks = record.trace.arrays("fourier/key_frequencies", member)
    return [int(k) for k in np.asarray(looks[-1][1]).tolist()] if looks else []


def thin(looks: Looks, most: int) -> Looks:
    """At most ``most`` looks, evenly, the first and last among them."""
    if len(looks) <= most:
        return looks
    return [looks[i] for i in np.unique(np.linspace(0, len(looks) - 1, most).round().astype(int))]
