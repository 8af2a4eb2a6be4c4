/* SPDX-License-Identifier: BSD-2-Clause */
/* What a caller that makes tables of any format must know. */
#include "engine.h"

uint32_t pt_table_bytes(enum pt_format id)
{
    const struct pt_fmt *f = pt_format(id);

    return f ? 1u << f->page_shift : 0;
}
