"""Everything that needs a GPU: are results those of the CPU, and what do they cost.

    python benchmarks/speed/gpu.py --out gpu.json

First the Triton kernels against the plain torch reference in values, first and second
derivatives, then whole networks on the GPU against the CPU, a training step among them. Then
times: the convolution forward and backward (the size of `convolution.py`) against the plain torch
reference on the same GPU; a step of MD through ASE; a training step. Without a CUDA device it says
so and ends.
"""

import argparse
import json
import statistics
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from e3nn.o3 import Irreps

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about, interleaved, timed

from ase_symcalc import SymCalc, evaluate, load_potential
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.nn.kernels import contraction, reference
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.contraction import convolve
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph

TABLES = {
    "l 1, 128 channels": ("128x0e+128x1o", "0e+1o+2e+3o", "0e+1o+2e+3o"),
    "l 2, 32 channels": ("32x0e+32x1o+32x2e", "0e+1o+2e", "0e+1o+2e"),
    "odd sizes, both parities": ("70x0e+3x0o+5x1o", "0e+1o+2e", "0e+0o+1e+1o+2e+2o"),
}
LIMITS = {torch.float64: 1e-11, torch.float32: 1e-4}
"""Of deviations relative to the largest number."""
SHARED = {"elements": ("Si",), "cutoff": 5.0, "sh_lmax": 2, "avg_num_neighbours": 28.0}
NETWORKS = {
    "gates": ModelConfig(**SHARED, num_layers=2, num_channels=32, lmax=2),
    "MACE": MACEConfig(**SHARED, hidden_irreps="32x0e+32x1o", correlation=(3, 3)),
}
REPEATS = (1, 2, 3, 4, 6, 8, 12)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each time taken")
    parser.add_argument("--out", help="write the numbers as JSON")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch finds no CUDA device here, so nothing is checked and nothing is timed.")
        return
    if not find_spec("triton"):
        print("Triton is not installed: what follows is the plain torch reference, not the kernels")
    checks = check_kernels("cuda") | check_potential(args.potential, "cuda")
    checks |= check_training("cuda")
    times = time_convolution("cuda", args.seconds)
    times |= time_md(args.potential, "cuda", args.seconds)
    times |= time_training("cuda", args.seconds)
    if args.out:
        device = torch.cuda.get_device_name()
        result = about(settings=vars(args), device=device, checks=checks, seconds=times)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    wrong = [name for name, check in checks.items() if not check["deviation"] <= check["limit"]]
    if wrong:
        raise SystemExit(f"beyond its limit: {'; '.join(wrong)}")


# --- checks ----------------------------------------------------------------------------------


def check_kernels(device):
    """Values, gradients and second derivatives against the reference in float64."""
    checks = {}
    for name, irreps in TABLES.items():
        table = PathTable.build(*map(Irreps, irreps))
        with plain_torch(device):
            expected = derivatives(table, device, torch.float64)
        for dtype, limit in LIMITS.items():
            found = derivatives(table, device, dtype)
            for order, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
                deviation = max(map(relative, ours, theirs))
                case = f"convolution, {name}, {dtype}, derivative {order}"
                checks[case] = checked(case, deviation, limit)
            again = derivatives(table, device, dtype)
            pairs = zip(sum(found, ()), sum(again, ()), strict=True)
            case = f"convolution, {name}, {dtype}, a second run"
            checks[case] = checked(case, max(float((a - b).abs().max()) for a, b in pairs), 0.0)
    return checks


def derivatives(table, device, dtype):
    """The convolution of random numbers, its gradients, and theirs."""
    adjacency, arguments, seed = problem(table, device, dtype, n_atoms=60, n_edges=2000)
    inputs = [a.requires_grad_() for a in arguments]
    value = convolve(table, adjacency, *inputs)
    first = torch.autograd.grad(value, inputs, seed, create_graph=True)
    second = torch.autograd.grad(sum(d.square().sum() for d in first), inputs)
    return (value.detach(),), tuple(d.detach() for d in first), second


def problem(table, device, dtype, n_atoms, n_edges, n_intervals=128):
    """Random edges that are near in memory, and arguments; the same numbers in every dtype."""
    rng = torch.Generator().manual_seed(0)

    def whole(high):
        return torch.randint(0, high, (n_edges,), generator=rng)

    def normal(*shape):
        return torch.randn(*shape, generator=rng).to(device, dtype)

    centre = whole(n_atoms).sort().values
    neighbour = (centre + 1 + whole(30)) % n_atoms
    adjacency = Adjacency.build(
        centre.to(device),
        neighbour.to(device),
        (whole(n_intervals) // 4).to(device),  # three in four intervals are empty
        n_centres=n_atoms,
        n_rows=n_atoms,
        n_intervals=n_intervals,
        n_taps=4,
    )
    arguments = [
        normal(n_atoms, table.irreps_x.dim),
        normal(n_edges, table.n_sh),
        normal(n_edges, 4),
        normal(adjacency.n_knots, table.n_weights),
    ]
    return adjacency, arguments, normal(n_atoms, table.irreps_out.dim)


def check_potential(name, device):
    """Energy, forces and stress of a potential: GPU against CPU, symmetry on and off."""
    crystal = bulk("Si", cubic=True) * 2
    rattled = crystal.copy()
    rattled.rattle(0.05, seed=1)
    structures = [crystal, rattled]
    exact = load_potential(name, dtype="float64")
    expected = evaluate(structures, exact)
    named = ("atomic_energies", "forces", "stress")  # eV, eV/Å, eV/Å³
    limits_of = {"float64": (1e-10, 1e-10, 1e-10), "float32": (1e-4, 1e-3, 1e-4)}
    checks = {}
    for dtype, limits in limits_of.items():
        potential = load_potential(name, dtype=dtype, device=device)
        for symmetry in ("off", "auto"):
            results = evaluate(structures, potential, symmetry=symmetry)
            pairs = list(zip(results, expected, strict=True))
            case = f"{name}, {dtype}, symmetry {symmetry}, "
            for what, limit in zip(named, limits, strict=True):
                found = (np.abs(getattr(a, what) - getattr(b, what)).max() for a, b in pairs)
                checks[case + what] = checked(case + what, float(max(found)), limit)
    return checks


def check_training(device):
    """Gradients of a loss by all weights: GPU against CPU."""
    checks = {}
    for name, config in NETWORKS.items():
        for dtype, limit in {torch.float64: 1e-9, torch.float32: 1e-3}.items():
            exact = weight_gradients(build_model(config).double(), "cpu", torch.float64)
            found = weight_gradients(build_model(config).to(dtype), device, dtype)
            case = f"training, {name}, {dtype}, gradients by weights"
            checks[case] = checked(case, max(map(relative, found, exact)), limit)
    return checks


def weight_gradients(model, device, dtype):
    model.to(device)
    radial = getattr(model, "radial", None)
    if radial is not None:
        radial.exact = (torch.float32, torch.float64)  # splines are an approximation
    loss(model, batch(device, dtype)).backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def batch(device, dtype):
    """Four rattled crystals of 64 atoms."""
    crystals = [bulk("Si", cubic=True) * 2 for _ in range(4)]
    for seed, crystal in enumerate(crystals):
        crystal.rattle(0.05, seed=seed)
    return build_graph(crystals, SHARED["cutoff"], dtype=dtype, device=device)


def loss(model, graph):
    prediction = predict(model, graph, create_graph=True)
    terms = (prediction.energy / graph.n_atoms, prediction.forces, prediction.stress)
    return sum(term.square().mean() for term in terms)


def relative(ours, theirs):
    """Largest deviation over the largest number."""
    theirs = theirs.double().cpu()
    return float((ours.double().cpu() - theirs).abs().max() / theirs.abs().max().clamp(min=1e-30))


def checked(case, deviation, limit):
    print(f"{case:75}{deviation:10.1e}{'' if deviation <= limit else '  BEYOND'} {limit:.0e}")
    return {"deviation": deviation, "limit": limit}


@contextmanager
def plain_torch(device):
    """Convolve by the reference on a kind of device."""
    kernels = contraction.BACKENDS[device]
    contraction.BACKENDS[device] = reference.contract
    try:
        yield
    finally:
        contraction.BACKENDS[device] = kernels


# --- times -----------------------------------------------------------------------------------


def finished(call):
    """Seconds of a call and of what it leaves to the GPU."""

    def whole():
        call()
        torch.cuda.synchronize()

    torch.cuda.synchronize()
    return timed(whole)


def time_convolution(device, seconds):
    """Forward and backward, 128 channels, 20 000 edges of 500 atoms, and ten times as many."""
    table = PathTable.build(*map(Irreps, TABLES["l 1, 128 channels"]))
    times = {}
    for scale in (1, 10):
        n_atoms, n_edges = 500 * scale, 20_000 * scale
        for dtype in (torch.float32, torch.float64):
            adjacency, (x, y, b, t), seed = problem(table, device, dtype, n_atoms, n_edges)
            inputs = [a.requires_grad_() for a in (x, y, b)]

            def kernels(inputs=inputs, t=t, adjacency=adjacency, seed=seed):
                torch.autograd.grad(convolve(table, adjacency, *inputs, t), inputs, seed)

            def plain(kernels=kernels):
                with plain_torch(device):
                    kernels()

            case = f"convolution, {n_edges} edges, {dtype}"
            calls = {case: kernels, f"{case}, plain torch": plain}
            for name, row in interleaved(calls, seconds=seconds, clock=finished).items():
                times[name] = row["wall"]
                print(f"{name:75}{1e3 * row['wall']:10.2f} ms")
    return times


def time_md(name, device, seconds):
    """A step of velocity Verlet through ASE, float32, symmetry off."""
    times = {}
    for repeats in REPEATS:
        atoms = bulk("Si", cubic=True) * repeats
        atoms.calc = SymCalc(name, device=device, dtype="float32", symmetry="off")
        thermalize_momenta(atoms, temperature_K=300, rng=np.random.default_rng(0))
        dynamics = VelocityVerlet(atoms, 2 * units.fs)
        dynamics.run(3)
        walls, end = [], time.perf_counter() + seconds
        while time.perf_counter() < end or len(walls) < 5:
            walls.append(timed(lambda dynamics=dynamics: dynamics.run(1))[0])
        case = f"MD, {len(atoms)} atoms, float32"
        times[case] = statistics.median(walls)
        share = 1e6 * times[case] / len(atoms)
        print(f"{case:75}{1e3 * times[case]:10.2f} ms {share:10.2f} µs/atom")
    return times


def time_training(device, seconds):
    """A step of AdamW on energies, forces and stresses of 256 atoms, float32."""
    graph = batch(device, torch.float32)
    calls = {}
    for name, config in NETWORKS.items():
        model = build_model(config).to(device, torch.float32)
        optimiser = torch.optim.AdamW(model.parameters(), fused=True)

        def step(model=model, optimiser=optimiser):
            optimiser.zero_grad()
            loss(model, graph).backward()
            optimiser.step()

        calls[f"training step, {name}, {graph.n_atoms} atoms, float32"] = step
    times = {}
    for name, row in interleaved(calls, seconds=seconds, clock=finished).items():
        times[name] = row["wall"]
        print(f"{name:75}{1e3 * row['wall']:10.2f} ms")
    return times


if __name__ == "__main__":
    main()
