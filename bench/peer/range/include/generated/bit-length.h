/* SPDX-License-Identifier: BSD-2-Clause */
#define CONFIG_64BIT 1
#define CONFIG_PHYS_ADDR_T_64BIT 1
