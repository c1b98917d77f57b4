"""Derivatives of the energy: forces, stress, Hessian, and those by strain."""

from ase_symcalc.response.derivatives import predict as predict
from ase_symcalc.response.hessian import hessian as hessian
from ase_symcalc.response.prediction import Prediction as Prediction
from ase_symcalc.response.strain import strain_derivatives as strain_derivatives
