/* SPDX-License-Identifier: BSD-2-Clause */
#include "verdict.h"

static const char *const names[MODEL_V_COUNT] = {
#define MODEL_VERDICT_NAME(id, name) [MODEL_V_##id] = name,
    MODEL_VERDICTS(MODEL_VERDICT_NAME)
#undef MODEL_VERDICT_NAME
};

const char *model_verdict_name(enum model_verdict v)
{
    unsigned i = (unsigned)v;

    return i < MODEL_V_COUNT ? names[i] : "?";
}
