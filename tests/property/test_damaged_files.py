"""Files with flipped, lost or doubled bytes: refused, or without any effect on numbers."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ase_symcalc import load_potential
from ase_symcalc.errors import PotentialFileError

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.parent for path in ROOT.glob("potentials/*/card.toml"))
CHECKPOINTS = (
    "sevennet/no_parity.pth",
    "mace/one_layer.model",
    "nequip/natural.ckpt",
    "nequip/training/best_model.pth",
)
bounded = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PLACES = st.floats(0, 1, exclude_max=True)


@st.composite
def damage(draw):
    """What happens to a file: its kind, one or two places as fractions of its length, bytes."""
    kind = draw(st.sampled_from(["flip", "flip", "write", "cut", "lose", "double"]))
    return kind, draw(PLACES), draw(PLACES), draw(st.binary(min_size=1, max_size=8))


def damaged(content, kind, first, second, noise):
    """Bytes after damage; the same if nothing was hit."""
    start, end = sorted(int(place * len(content)) for place in (first, second))
    if kind == "flip":
        bit = 1 << (noise[0] % 8)
        return content[:start] + bytes([content[start] ^ bit]) + content[start + 1 :]
    if kind == "write":
        return content[:start] + noise + content[start + len(noise) :]
    if kind == "cut":
        return content[:start]
    if kind == "lose":
        return content[:start] + content[end:]
    return content[:end] + content[start:]


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda folder: folder.name)
def shipped(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged") / request.param.name
    shutil.copytree(request.param, folder)
    return folder, load_potential(request.param), sorted(path.name for path in folder.iterdir())


def assert_same_numbers(one, other):
    assert one.model.config == other.model.config
    assert (one.model.elements, one.model.cutoff) == (other.model.elements, other.model.cutoff)
    wanted = other.model.state_dict()
    assert one.model.state_dict().keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in one.model.state_dict().items())
    if one.error_model is not None:
        for mine, theirs in zip(errors(one), errors(other), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def errors(potential):
    model = potential.error_model
    return [np.asarray(getattr(model, name)) for name in model.__dataclass_fields__]


@bounded
@given(data=st.data(), how=damage())
def test_a_damaged_file_of_a_shipped_potential(shipped, data, how):
    folder, whole, names = shipped
    path = folder / data.draw(st.sampled_from(names))
    content = path.read_bytes()
    path.write_bytes(damaged(content, *how))
    try:
        with suppress(PotentialFileError):
            assert_same_numbers(load_potential(folder), whole)
    finally:
        path.write_bytes(content)


def spoilt(content, rng):
    """Change some bytes of an archive, or of one of its members so that checksums still hold."""
    kind = rng.choice(["flip", "write", "cut", "lose", "double"], p=[0.4, 0.3, 0.1, 0.1, 0.1])
    noise = rng.bytes(rng.integers(1, 9))
    first, second = rng.random(2)
    if rng.random() < 0.3:
        return damaged(content, kind, first, second, noise)
    rewritten = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(rewritten, "w") as new:
        text = [e.filename for e in old.infolist() if "/data/" not in e.filename]
        hit = rng.choice(text if rng.random() < 0.8 else old.namelist())
        for entry in old.infolist():
            member = old.read(entry)
            if entry.filename == hit and member:
                member = damaged(member, kind, first, second, noise)
            new.writestr(entry.filename, member)
    return rewritten.getvalue()


WORKER = """
import json, os, resource, signal, sys, traceback, warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculatorError

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.errors import PotentialFileError
from tests.property.test_damaged_files import spoilt

path, seed, n, seconds = Path(sys.argv[1]), *map(int, sys.argv[2:])
whole = path.read_bytes()

def ask():
    potential = load_potential(path)
    atoms = Atoms(potential.model.elements[0] + "2", [(0, 0, 0), (0.7, 1.1, 1.3)])
    return SymCalc(potential).get_property("forces", atoms)

expected = ask()  # whatever is imported late is there now
in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**31, resource.RLIM_INFINITY))
signal.signal(signal.SIGALRM, signal.SIG_DFL)  # it hangs: the process dies
watching = False
programs = ("os.", "subprocess.", "socket.", "shutil.", "pickle.", "ctypes.dlopen", "webbrowser")
harmless = ("os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.utime", "os.remove")

def watch(event, arguments):
    global watching
    code = event == "exec" and not Path(arguments[0].co_filename).is_file()
    if code:  # classes are made like this, also by e3nn while it sorts
        makers = ("collections", "dataclasses", "typing")
        code = sys._getframe(1).f_globals["__name__"] not in makers
    run = event.startswith(programs) and event not in harmless
    if watching and (run or code):
        watching = False
        traceback.print_stack()
        print(f"a file led to {event} {arguments}"[:300], file=sys.stderr, flush=True)
        os._exit(3)

sys.addaudithook(watch)
rng = np.random.default_rng(seed)
said = {"refused": 0, "other numbers": 0, "the same": 0}
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(n):
    path.write_bytes(spoilt(whole, rng))
    signal.alarm(seconds)
    watching = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ask()
        assert np.isfinite(found).all()
        said["the same" if np.array_equal(found, expected) else "other numbers"] += 1
    except (PotentialFileError, CalculatorError) as error:
        assert len(str(error)) < 2000
        said["refused"] += 1
    except BaseException:
        path.with_name("bad").write_bytes(path.read_bytes())
        print("number", number, file=sys.stderr)
        raise
    watching = False
    signal.alarm(0)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
assert grown < 300_000, f"it took {grown} kB"
print(json.dumps(said))
"""


def fuzz(name, folder, seed, n):
    """Read so many damaged checkpoints in a process that may neither run a thing nor hang."""
    source = ROOT / "tests/regression" / name
    shutil.copy(source, folder)
    if (settings_beside := source.parent / "config.yaml").is_file():
        shutil.copy(settings_beside, folder)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(folder / source.name), str(seed), str(n), "60"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120 + 5 * n,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert sum(said.values()) == n
    return said


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_damaged_checkpoint_does_no_harm(name, tmp_path):
    """It has no digest: what is read in spite of all may give other, finite numbers."""
    assert fuzz(name, tmp_path, 1, 10)["refused"]


@pytest.mark.long
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_many_damaged_checkpoints_do_no_harm(name, tmp_path):
    fuzz(name, tmp_path, 2, 500)
