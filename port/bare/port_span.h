/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaves of several entries: yes. */
#include "pt/span.h"
