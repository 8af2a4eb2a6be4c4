/* SPDX-License-Identifier: BSD-2-Clause */
/* Names for code addresses of a client. */
#ifndef IOMMUFD_SYMBOL_H
#define IOMMUFD_SYMBOL_H

#include "iommufd/iod.h"

/* text: "function+0x12 (/path/of/program+0x1234)", or the bare address if the process is gone.
 * name: the function alone, "" if it is not known. Both are cut to their sizes. */
void symbol_of(struct mm *mm, uint64_t addr, char *text, size_t text_size, char *name,
               size_t name_size);

#endif
