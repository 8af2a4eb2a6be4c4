/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways of their own for the commonest calls: yes. */
#include "pt/quick.h"
