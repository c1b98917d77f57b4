"""The five contractions in plain torch: any device, any dtype, and the yardstick for kernels."""

import torch
from torch import Tensor

from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.paths import Path, PathTable
from ase_symcalc.nn.multilinear import Arguments


def contract(
    table: PathTable, adjacency: Adjacency, wanted: tuple[str, ...], args: Arguments
) -> dict[str, Tensor]:
    """Differentiate the form of `contraction` by the arguments in ``wanted``."""
    some = next(a for a in args.values() if a is not None)
    given = {n: a for n, a in args.items() if a is not None}
    if "b" in given and "t" in given:
        taps = given["t"][_tap_rows(adjacency)]
        given["w"] = torch.einsum("eq,eqw->ew", given["b"], taps)
    shapes = {
        "g": (adjacency.n_centres, table.irreps_out.dim),
        "x": (adjacency.n_rows, table.irreps_x.dim),
        "y": (adjacency.n_edges, table.n_sh),
        "w": (adjacency.n_edges, table.n_weights),
    }
    needed = {"w" if n in "bt" else n for n in wanted}
    out = {n: some.new_zeros(shapes[n]) for n in needed}
    for path in table.paths:
        parts = {n: _part(n, a, path, adjacency) for n, a in given.items() if n in _AXES}
        c = _coefficients(path, some)
        for name in needed:
            others = [n for n in _AXES if n != name]
            spec = ",".join(_AXES[n] for n in others)
            value = torch.einsum(f"abc,{spec}->{_AXES[name]}", c, *(parts[n] for n in others))
            _add(out[name], name, value, path, adjacency)
    if "b" in wanted:
        out["b"] = torch.einsum("ew,eqw->eq", out["w"], given["t"][_tap_rows(adjacency)])
    if "t" in wanted:
        rows = _tap_rows(adjacency)
        taps = given["b"].unsqueeze(2) * out["w"].unsqueeze(1)
        t = some.new_zeros(adjacency.n_knots, table.n_weights)
        out["t"] = t.index_add(0, rows.flatten(), taps.flatten(0, 1))
    return {n: out[n] for n in wanted}


_AXES = {"x": "eak", "y": "eb", "g": "eck", "w": "ek"}


def _tap_rows(adjacency: Adjacency) -> Tensor:
    offsets = torch.arange(adjacency.n_taps, device=adjacency.interval.device)
    return adjacency.interval.unsqueeze(1) + offsets


def _coefficients(path: Path, like: Tensor) -> Tensor:
    c = torch.zeros(2 * path.x.l + 1, 2 * path.l2 + 1, 2 * path.l3 + 1, dtype=torch.float64)
    for m1, m2, m3, value in path.terms:
        c[m1, m2, m3] = value
    return c.to(like)


def _columns(name: str, path: Path) -> Tensor:
    """Columns of an argument that a path touches, flattened ``[m, channel]``."""
    if name == "x":
        return torch.arange(path.x.offset, path.x.end)
    if name == "y":
        return torch.arange(path.l2**2, (path.l2 + 1) ** 2)
    if name == "w":
        return torch.arange(path.w_offset, path.w_offset + path.x.mul)
    m3 = torch.arange(2 * path.l3 + 1).unsqueeze(1)
    return (path.out_offset + m3 * path.out_stride + torch.arange(path.x.mul)).reshape(-1)


def _part(name: str, value: Tensor, path: Path, adjacency: Adjacency) -> Tensor:
    part = value[:, _columns(name, path).to(value.device)]
    if name == "x":
        return part.unflatten(1, (-1, path.x.mul))[adjacency.neighbour]
    if name == "g":
        return part.unflatten(1, (-1, path.x.mul))[adjacency.centre]
    return part


def _add(out: Tensor, name: str, value: Tensor, path: Path, adjacency: Adjacency) -> None:
    columns = _columns(name, path).to(out.device)
    value = value.flatten(1)
    if name in "xg":
        rows = adjacency.neighbour if name == "x" else adjacency.centre
        value = value.new_zeros(out.shape[0], value.shape[1]).index_add(0, rows, value)
    out[:, columns] += value
