"""Registration with ASE 4, whose plugin system is still private: the one place that uses it."""

try:
    from ase._4.plugins.plugin import CalculatorPlugin
except ImportError:  # an ASE without plugins, or with others; ASE skips a module without any
    __ase_plugins__: set[object] = set()
else:
    __ase_plugins__ = {
        CalculatorPlugin(
            "symcalc",
            citation="ase_symcalc developers, ase-symcalc (2026)",
            implementation="ase_symcalc.calculator.SymCalc",
        )
    }
