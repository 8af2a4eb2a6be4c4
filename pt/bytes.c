/* SPDX-License-Identifier: BSD-2-Clause */
/* What a caller that makes tables of any format must know. */
#include "engine.h"

uint32_t pt_table_bytes(enum pt_format format)
{
    (void)format;
    return PAGE_SIZE;
}
