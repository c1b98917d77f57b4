"""What every good potential passes, as checks that anyone can run on theirs."""

from ase_symcalc.testing.assertions import assert_batching_agrees as assert_batching_agrees
from ase_symcalc.testing.assertions import assert_extensive as assert_extensive
from ase_symcalc.testing.assertions import (
    assert_forces_are_gradients as assert_forces_are_gradients,
)
from ase_symcalc.testing.assertions import assert_hessian_symmetric as assert_hessian_symmetric
from ase_symcalc.testing.assertions import assert_invariant as assert_invariant
from ase_symcalc.testing.assertions import assert_symmetry_exact as assert_symmetry_exact
from ase_symcalc.testing.checks import Check as Check
from ase_symcalc.testing.checks import check as check
from ase_symcalc.testing.checks import check_distances as check_distances
from ase_symcalc.testing.checks import structures_of as structures_of
from ase_symcalc.testing.physical import PairScan as PairScan
from ase_symcalc.testing.physical import assert_stiff as assert_stiff
from ase_symcalc.testing.physical import scan_pair as scan_pair
from ase_symcalc.testing.physical import squeeze as squeeze
