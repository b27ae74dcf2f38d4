#pragma once
#include "newton.h"

namespace tamis {

// BFGS from `start`, first inverse Hessian 1, with the first steps and the stopping rule of SciPy's, step for step as
// src/tamis/sources/_bfgs.py.
Minimum bfgs(Objective& objective, const std::vector<double>& start, double tolerance, int64_t most_iterations);

}  // namespace tamis
