"""Copies, pickles, threads, processes, and the state of the whole process."""

import copy
import multiprocessing
import operator
import os
import pickle
import shutil
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from ase.calculators.calculator import CalculatorSetupError

from ase_symcalc import SymCalc
from ase_symcalc.potential_files import Potential
from tests.conftest import save_small_potential
from tests.zoo import zoo


def test_a_deep_copy_is_independent_and_keeps_its_results(calc, silicon):
    silicon.calc = calc
    silicon.get_forces()
    twin = copy.deepcopy(silicon)
    assert twin.calc is not calc
    assert not twin.calc.calculation_required(twin, ["forces"])
    np.testing.assert_array_equal(twin.get_forces(), silicon.get_forces())
    twin.rattle(0.1)
    twin.calc.set(skin=0.0)
    assert np.abs(twin.get_forces() - silicon.get_forces()).max() > 0
    assert calc.parameters["skin"] == 1.0
    assert not calc.calculation_required(silicon, ["forces"])


def test_a_pickle_is_small_keeps_results_and_goes_on(potential_folder, other_folder, silicon):
    for potential in (potential_folder, [potential_folder, other_folder]):
        silicon.calc = SymCalc(potential, skin=0.5)
        forces = silicon.get_forces()
        pickled = pickle.dumps(silicon)
        assert len(pickled) < 8000
        again = pickle.loads(pickled)
        assert not again.calc.calculation_required(again, ["forces"])
        assert again.calc.parameters["skin"] == 0.5
        again.calc.reset()
        np.testing.assert_array_equal(again.get_forces(), forces)


def test_a_pickle_from_one_folder_opens_in_another(
    potential_folder, monkeypatch, tmp_path, silicon
):
    monkeypatch.chdir(potential_folder.parent)
    pickled = pickle.dumps(SymCalc(potential_folder.name))
    monkeypatch.chdir(tmp_path)
    assert np.isfinite(pickle.loads(pickled).get_property("energy", silicon))


def test_an_installed_potential_is_pickled_by_name(potential_folder, tmp_path, monkeypatch):
    for place in ("here", "there"):
        shutil.copytree(potential_folder, tmp_path / place / "small")
    monkeypatch.setenv("ASE_SYMCALC_POTENTIALS", str(tmp_path / "here"))
    pickled = pickle.dumps(SymCalc("small"))
    monkeypatch.setenv("ASE_SYMCALC_POTENTIALS", str(tmp_path / "there"))
    shutil.rmtree(tmp_path / "here")
    assert pickle.loads(pickled).todict() == {"potential": "small"}


def test_a_pickle_whose_potential_was_changed_is_refused(tmp_path):
    folder = save_small_potential(tmp_path / "mine", seed=1)
    pickled = pickle.dumps(SymCalc(folder))
    shutil.rmtree(folder)
    with pytest.raises(CalculatorSetupError, match="expected the folder of a potential"):
        pickle.loads(pickled)
    save_small_potential(folder, seed=2)
    with pytest.raises(CalculatorSetupError, match="are not those the calculator was made with"):
        pickle.loads(pickled)


def test_a_potential_in_memory_is_copied_but_not_pickled(potential, silicon):
    homeless = Potential(potential.card, potential.model, None, potential.device, potential.dtype)
    calc = SymCalc(homeless)
    twin = copy.deepcopy(calc)
    assert twin.get_property("energy", silicon) == calc.get_property("energy", silicon)
    with pytest.raises(pickle.PicklingError, match="save it with save_potential"):
        pickle.dumps(calc)


def test_two_threads_on_one_calculator_get_their_own_answers(calc):
    names = ("ge_rattled_supercell", "si_cluster", "ni_slab", "li_sheared")
    plain = SymCalc(calc.parameters["potential"], skin=0.0)

    def moved(name, step):
        atoms = zoo()[name]
        atoms.rattle(0.02, seed=step)
        return atoms

    expected = {
        (name, step): plain.get_property("forces", moved(name, step))
        for name in names
        for step in range(6)
    }
    start = threading.Barrier(len(names))

    def work(name):
        start.wait()
        for step in range(6):
            atoms = moved(name, step)
            atoms.calc = calc
            atoms.get_potential_energy()
            np.testing.assert_array_equal(atoms.get_forces(), expected[name, step])
            assert calc.get_descriptors(atoms).shape[0] == len(atoms)

    with ThreadPoolExecutor(len(names)) as pool:
        for future in [pool.submit(work, name) for name in names]:
            future.result()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 on: advice only
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_it_works_in_processes_that_are_forked_or_spawned(potential_folder, silicon, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    large = silicon * (4, 4, 4)  # enough for torch to start threads, which do not survive a fork
    silicon.calc = large.calc = SymCalc(potential_folder)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = [atoms.get_forces() for atoms in (silicon, large)]
        pool = multiprocessing.get_context(method).Pool(1)
        with pool:
            asked = pool.map_async(operator.methodcaller("get_forces"), [silicon, large])
            found = asked.get(timeout=120)
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 on: advice only
def test_a_fork_while_another_thread_is_inside_finds_no_closed_door(calc, silicon):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    silicon.calc = calc
    expected = silicon.get_forces()
    inside, leave = threading.Event(), threading.Event()

    def occupy():
        with calc._lock:
            inside.set()
            leave.wait(120)

    thread = threading.Thread(target=occupy)
    thread.start()
    try:
        inside.wait(120)
        pool = multiprocessing.get_context("fork").Pool(1, _hand_down, (silicon,))
        with pool:
            found = pool.apply_async(_forces_again).get(timeout=60)
    finally:
        leave.set()
        thread.join()
    np.testing.assert_array_equal(found, expected)


_handed_down = []


def _hand_down(atoms):
    """Keep what the fork copied; what is sent to a task is pickled, and has a lock of its own."""
    _handed_down.append(atoms)


def _forces_again():
    (atoms,) = _handed_down
    atoms.calc.reset()
    return atoms.get_forces()


def test_the_state_of_the_process_is_left_alone(potential_folder, silicon):
    def state():
        return {
            "dtype": torch.get_default_dtype(),
            "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "gradients": torch.is_grad_enabled(),
            "torch": torch.get_rng_state().tolist(),
            "numpy": repr(np.random.get_state()),  # noqa: NPY002  (the global one is meant)
            "floats": np.geterr(),
            "warnings": list(warnings.filters),
            "environment": dict(os.environ),
        }

    before = state()
    calc = SymCalc(potential_folder, dtype="float32")
    silicon.calc = calc
    silicon.get_forces()
    calc.get_hessian(silicon)
    calc.get_descriptors(silicon)
    with pytest.raises(CalculatorSetupError):
        SymCalc("no-such-potential")
    pickle.loads(pickle.dumps(calc))
    assert state() == before
