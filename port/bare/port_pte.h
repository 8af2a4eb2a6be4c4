/* SPDX-License-Identifier: BSD-2-Clause */
/* Entries of tables in the freestanding library: plain atomics, as for EL2. The rest of the port is
 * the program's that links it (contract: tenon/port.h). */
#include "../el2/port_pte.h"
