/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways of their own for the commonest calls (pt/quick.h): no, what they save is not worth their lines. */
#include "pt/engine.h"
#define PT_QUICK(pt, yes, no, ...) return no;
#define PT_QUICK_MOST(no)
#define PT_QUICK_MAP(no, ...)        return no(__VA_ARGS__);
#define quick_kind(f, pt)            0u
#define empty_note(f, pt, ia, last)  ((void)0)
#define empty_forget(pt)             ((void)0)
#define empty_table(f, pt, ia, last) false
