"""Units: eV, Å, eV/Å, eV/Å³, fs, K, amu inside; factors for what a person or a file says."""

EV_PER_CUBIC_ANGSTROM_IN_GPA = 160.21766208  # exact e / 1e-30 m³ (2019 SI), rounded to 11 digits
