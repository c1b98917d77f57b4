"""Which atoms are images of each other, and by which operation."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ase_symcalc.symmetry.expand import Rotations
from ase_symcalc.symmetry.operations import Operations, find_operations
from ase_symcalc.symmetry.pairs import ReducedPairs
from ase_symcalc.symmetry.sites import Box

EDGES = (1.0, 0.2, 0.04)  # of the tolerance, tried in turn

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class SymmetryMap:
    """One atom for each orbit, and for each atom the operation that makes it of that one.

    Atom a is the image of ``representatives[orbit[a]]`` under rotation
    ``operation[a]`` and a translation.
    """

    representatives: Int64[np.ndarray, "n_orbits"]
    multiplicity: Int64[np.ndarray, "n_orbits"]
    """Atoms of each orbit"""
    orbit: Int64[np.ndarray, "n_atoms"]
    operation: Int64[np.ndarray, "n_atoms"]
    rotations: Rotations
    """The identity first"""
    site: Int64[np.ndarray, "n_atoms"]
    """Which site an atom is at: atoms that differ by a primitive translation share one"""
    site_orbits: Int64[np.ndarray, "n_sites"]
    site_turns: Float64[np.ndarray, "n_sites 3 3"]
    """The rotation of each"""
    stabilisers: Bool[np.ndarray, "n_orbits k"]
    """Rotations that leave a representative's site as it is"""
    vector_projectors: Float64[np.ndarray, "n_orbits 3 3"]
    """Onto the vectors that a representative's site allows"""
    tensor_projectors: Float64[np.ndarray, "n_orbits 9 9"]
    """Onto the tensors of second rank that it allows, flattened"""
    n_operations: int
    """Translations included"""
    claims: Claims
    """What must be true of a structure, so that it has this symmetry"""
    _latest: list[tuple[tuple[np.ndarray, ...], ReducedPairs]] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        operations: Operations,
        positions: Float64[np.ndarray, "n_atoms 3"],
    ) -> SymmetryMap:
        """Sort the atoms (Å) of a structure, whose operations these are, into orbits."""
        images = operations.images
        atoms, primitive = np.unique(operations.primitive, return_inverse=True)
        founder = images.min(axis=0)
        maker = np.argmax(images[:, founder] == np.arange(len(atoms)), axis=0)
        founders, orbit = np.unique(founder, return_inverse=True)
        representatives, site_orbits = atoms[founders], orbit
        orbit, operation = orbit[primitive], maker[primitive]
        stabilisers = founders[:, None] == images[:, founders].T
        copies = np.flatnonzero(representatives[orbit] != np.arange(len(orbit)))
        site, kept = np.nonzero(stabilisers)
        rotations = operations.rotations
        # means over the stabilisers: in 20 µs what `bases.invariant_basis` solves for in 10 ms
        weights = stabilisers / stabilisers.sum(axis=1, keepdims=True)
        squares = np.einsum("kai,kbj->kabij", rotations, rotations)
        claims = Claims.of(
            operations,
            positions,
            source=representatives[np.concatenate([orbit[copies], site])],
            operation=np.concatenate([operation[copies], kept]),
            target=np.concatenate([copies, representatives[site]]),
        )
        return cls(
            representatives=representatives,
            multiplicity=np.bincount(orbit),
            orbit=orbit,
            operation=operation,
            rotations=Rotations(rotations),
            site=primitive,
            site_orbits=site_orbits,
            site_turns=rotations[maker],
            stabilisers=stabilisers,
            vector_projectors=np.tensordot(weights, rotations, 1),
            tensor_projectors=(weights @ squares.reshape(-1, 81)).reshape(-1, 9, 9),
            n_operations=len(images) * operations.n_translations,
            claims=claims,
        )

    @property
    def n_orbits(self) -> int:
        """Number of atoms no two of which are images of each other."""
        return len(self.representatives)

    def edges(self, centre: Int64[np.ndarray, "n_edges"]) -> Int64[np.ndarray, "..."]:
        """Which edges, of a list sorted by centre, start at representatives."""
        first = np.searchsorted(centre, self.representatives)
        last = np.searchsorted(centre, self.representatives, side="right")
        return np.concatenate([np.arange(*ends) for ends in zip(first, last, strict=True)])

    def reduced_pairs(
        self,
        centre: Int64[np.ndarray, "n_pairs_full"],
        neighbour: Int64[np.ndarray, "n_pairs_full"],
        unit_shifts: Int64[np.ndarray, "n_pairs_full 3"],
    ) -> ReducedPairs:
        """Pick, from all pairs of a structure, sorted by centre, those of representatives.

        If the arrays are those of the last call, the same objects, so is what is returned; they
        must not be written to.
        """
        pairs = centre, neighbour, unit_shifts
        for known, reduced in self._latest:
            if all(one is other for one, other in zip(known, pairs, strict=True)):
                return reduced
        picked = self.edges(centre)
        n_rotations = len(self.rotations.matrices)
        reduced = ReducedPairs.of(picked, pairs, self.orbit, self.operation, n_rotations)
        self._latest[:] = [(pairs, reduced)]
        return reduced

    def holds(
        self,
        positions: Float64[np.ndarray, "n_atoms 3"],
        cell: Float64[np.ndarray, "3 3"],
        tolerance: float,
    ) -> bool:
        """Whether atoms and cell, which may have changed, still have the symmetry.

        Every atom must be within the tolerance (Å) of its representative's image, every
        representative of its own images under its stabiliser, and every cell vector of its
        image. The operations are a group, so they then map the whole structure onto itself.
        """
        return self.claims.hold(positions, cell, tolerance)


@dataclass(frozen=True, slots=True, eq=False)
class Claims:
    """Statements ``x[target] = x[source] @ matrices[operation] + offsets``, modulo the cell.

    Coordinates x are fractional where the structure repeats, so that the statements stay the
    same when the cell changes.
    """

    box: Box
    sources: Int64[np.ndarray, "n_sources"]
    """Atoms of which something is stated"""
    statement: Int64[np.ndarray, "n"]
    """Source times the number of operations, plus operation"""
    target: Int64[np.ndarray, "n"]
    matrices: Float64[np.ndarray, "3 columns"]
    """Side by side, for rows"""
    offsets: Float64[np.ndarray, "n 3"]
    lattice: Float64[np.ndarray, "columns 3"]
    """What makes the images of the three cell vectors of themselves: of each by all matrices"""
    rotations: Float64[np.ndarray, "3 columns"]
    """Side by side, for rows of Cartesian coordinates"""

    @classmethod
    def of(
        cls,
        operations: Operations,
        positions: Float64[np.ndarray, "n_atoms 3"],
        source: Int64[np.ndarray, "n"],
        operation: Int64[np.ndarray, "n"],
        target: Int64[np.ndarray, "n"],
    ) -> Claims:
        """Find the primitive translation of each statement."""
        box, matrices = operations.box, operations.matrices
        x = box.coordinates(positions)
        sources, place = np.unique(source, return_inverse=True)
        statement = place * len(matrices) + operation
        side_by_side = matrices.transpose(1, 0, 2).reshape(3, -1)
        moved = _images(x[sources], side_by_side, statement) + operations.shifts[operation]
        crossed = np.round((x[target] - moved) @ np.linalg.inv(operations.lattice))
        translation = (crossed * np.array(box.pbc)) @ operations.lattice
        return cls(
            box,
            sources,
            statement,
            target,
            side_by_side,
            operations.shifts[operation] + translation,
            side_by_side.reshape(-1, 3),
            operations.rotations.transpose(2, 0, 1).reshape(3, -1),
        )

    def hold(
        self,
        positions: Float64[np.ndarray, "n_atoms 3"],
        cell: Float64[np.ndarray, "3 3"],
        tolerance: float,
    ) -> bool:
        """Whether all of them are right within the tolerance, Å."""
        vectors = cell
        if not all(self.box.pbc):
            vectors = np.where(np.array(self.box.pbc)[:, None], cell, self.box.vectors)
        strain = (self.lattice @ vectors).reshape(3, -1) - vectors @ self.rotations
        if not _longest(strain.reshape(-1, 3)) < tolerance:
            return False
        sources, target = positions.take(self.sources, axis=0), positions.take(self.target, axis=0)
        moved = _images(sources, self.rotations, self.statement)
        if _longest(target - moved - self.offsets @ vectors) < tolerance:
            return True
        # an atom may have left the cell it was in, and need the nearest of its images
        box = Box(vectors, self.box.pbc)
        x = box.coordinates(positions)
        moved = _images(x.take(self.sources, axis=0), self.matrices, self.statement)
        errors = box.shortest(x.take(self.target, axis=0) - moved - self.offsets) @ vectors
        return _longest(errors) < tolerance


def find_symmetry(
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
    atomic_numbers: Int64[np.ndarray, "n_atoms"],
    tolerance: float,
    *,
    proper: bool = False,
) -> SymmetryMap | None:
    """Symmetry of a structure; arguments as for `operations.find_operations`.

    Where operations hold at the edge of the tolerance only, those that hold within less are
    looked for. None if no atom is another's image; or, with a line in the log, if the search
    failed.
    """
    for edge in EDGES:
        found = find_operations(
            positions, cell, pbc, atomic_numbers, tolerance * edge, proper=proper
        )
        if found is None:
            continue
        if len(found.images) * found.n_translations == 1:
            return None
        symmetry = SymmetryMap.of(found, positions)
        if symmetry.holds(positions, cell, tolerance):
            return symmetry if symmetry.n_orbits < len(positions) else None
    log.info(
        "symmetry is not used: two atoms stand almost at one place, the cell is very large, or "
        "operations hold at the edge of %g Å only",
        tolerance,
    )
    return None


def _images(rows: np.ndarray, matrices: np.ndarray, statement: np.ndarray) -> np.ndarray:
    return (rows @ matrices).reshape(-1, 3).take(statement, axis=0)


def _longest(vectors: np.ndarray) -> float:
    return float(np.sqrt(np.einsum("ni,ni->n", vectors, vectors).max()))
