/* SPDX-License-Identifier: BSD-2-Clause */
/* Looking for one of many entries: as for EL2. */
#include "../el2/port_find.h"
