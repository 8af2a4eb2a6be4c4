/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaves of several entries: no. */
#include "pt/span_none.h"
