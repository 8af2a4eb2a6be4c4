/* SPDX-License-Identifier: BSD-2-Clause */
/* The freestanding library has every format: what a program does not use costs it a few KiB. */
#include "../hosted/port_formats.h"
