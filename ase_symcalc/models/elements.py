"""Chemical symbols, without ASE."""

from ase_symcalc.errors import InputError

_TABLE = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
    "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd "
    "Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am "
    "Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
SYMBOLS = tuple(_TABLE.split())


def atomic_number(symbol: str) -> int:
    """Atomic number of a chemical symbol.

    Raises
    ------
    InputError
        If there is no such element.
    """
    if symbol not in SYMBOLS[1:]:
        raise InputError(f"expected a chemical symbol such as 'Si'; got {symbol!r}")
    return SYMBOLS.index(symbol)
