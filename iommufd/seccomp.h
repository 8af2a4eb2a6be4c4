/* SPDX-License-Identifier: BSD-2-Clause */
/* The way in for programs that make raw system calls. */
#ifndef IOMMUFD_SECCOMP_H
#define IOMMUFD_SECCOMP_H

/* In the child, before it becomes the program: the filter. A descriptor for the server, or -errno. */
int seccomp_install(void);
/* In the server: answers what is asked there. */
int seccomp_serve(int listener);

#endif
