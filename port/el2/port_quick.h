/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways of their own for the commonest calls (pt/quick.h): no, what they save is not worth their lines. */
#include "pt/engine.h"
#define PT_QUICK(...)
