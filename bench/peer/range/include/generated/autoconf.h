/* SPDX-License-Identifier: BSD-2-Clause */
#include "bit-length.h"
#define CONFIG_XARRAY_MULTI 1
