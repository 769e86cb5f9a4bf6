/* SPDX-License-Identifier: MIT */
/* dropin/program.c: reads of an ELF file what the loader will make of it. */
#include "program.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPTS_MAX 4 /* interpreters of interpreters, as the kernel has it */
#define HEADERS_MAX 256 /* program headers: real ones have a dozen */
#define DYNAMIC_MAX 512
#define HEAD_BYTES 256 /* of a script's first line, as the kernel has it */
#define SHELL "/bin/sh"

#if defined(__x86_64__)
#define OWN_MACHINE EM_X86_64
#define OWN_LOADER "ld-linux-x86-64.so.2"
#elif defined(__aarch64__)
#define OWN_MACHINE EM_AARCH64
#define OWN_LOADER "ld-linux-aarch64.so.1"
#endif

const char *dropin_program_reason(int program)
{
	switch (program) {
	case DROPIN_PROGRAM_STATIC:
		return "is statically linked and loads no library that could "
		       "answer its calls";
	case DROPIN_PROGRAM_FOREIGN:
		return "is made for another architecture than "
		       "libstoa-dropin.so";
	case DROPIN_PROGRAM_LOADER:
		return "is made for another C library than "
		       "libstoa-dropin.so";
	case DROPIN_PROGRAM_SETUID:
		return "has the set-user-ID bit, and the loader preloads "
		       "nothing into it";
	case DROPIN_PROGRAM_SETGID:
		return "has the set-group-ID bit, and the loader preloads "
		       "nothing into it";
	case DROPIN_PROGRAM_CAPABLE:
		return "has file capabilities, and the loader preloads "
		       "nothing into it";
	default: return "can load libstoa-dropin.so";
	}
}

/* ---- Rights: AT_SECURE -------------------------------------------------- */

/* The bits count only where the kernel would heed them. */
static int check_rights(int fd)
{
	struct statvfs mount;
	struct stat file;

	if (fstat(fd, &file) < 0 || fstatvfs(fd, &mount) < 0)
		return -errno;
	if ((mount.f_flag & ST_NOSUID) ||
	    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
		return DROPIN_PROGRAM_FITS;
	if ((file.st_mode & S_ISUID) && file.st_uid != getuid())
		return DROPIN_PROGRAM_SETUID;
	if ((file.st_mode & S_ISGID) && (file.st_mode & S_IXGRP) &&
	    file.st_gid != getgid())
		return DROPIN_PROGRAM_SETGID;
	if (getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0)
		return DROPIN_PROGRAM_CAPABLE;
	return DROPIN_PROGRAM_FITS;
}

/* ---- ELF ---------------------------------------------------------------- */

static int has_own_loader(int fd, const Elf64_Phdr *header)
{
	char loader[DROPIN_PROGRAM_PATH] = "";
	size_t bytes = header->p_filesz;

	if (bytes == 0 || bytes >= sizeof loader ||
	    pread(fd, loader, bytes, (off_t)header->p_offset) != (ssize_t)bytes)
		return -ENOEXEC;
	const char *slash = strrchr(loader, '/');
	return strcmp(slash ? slash + 1 : loader, OWN_LOADER) == 0
	               ? DROPIN_PROGRAM_FITS
	               : DROPIN_PROGRAM_LOADER;
}

/* A static program that may be loaded anywhere says it is a program; the
 * loader itself, run by hand, is a library and preloads what it should. */
static int is_library(int fd, const Elf64_Phdr *header)
{
	Elf64_Dyn entry;

	for (size_t i = 0; i < DYNAMIC_MAX; i++) {
		off_t at = (off_t)(header->p_offset + i * sizeof entry);

		if (i * sizeof entry >= header->p_filesz ||
		    pread(fd, &entry, sizeof entry, at) != sizeof entry ||
		    entry.d_tag == DT_NULL)
			return 1;
		if (entry.d_tag == DT_FLAGS_1)
			return !(entry.d_un.d_val & DF_1_PIE);
	}
	return 1;
}

static int check_headers(int fd, const Elf64_Ehdr *elf)
{
	int library = 0;

	if (elf->e_phentsize != sizeof(Elf64_Phdr) ||
	    elf->e_phnum > HEADERS_MAX)
		return -ENOEXEC;
	for (size_t i = 0; i < elf->e_phnum; i++) {
		Elf64_Phdr header;
		off_t at = (off_t)(elf->e_phoff + i * sizeof header);

		if (pread(fd, &header, sizeof header, at) != sizeof header)
			return -ENOEXEC;
		if (header.p_type == PT_INTERP)
			return has_own_loader(fd, &header);
		if (header.p_type == PT_DYNAMIC)
			library = is_library(fd, &header);
	}
	return library && elf->e_type == ET_DYN ? DROPIN_PROGRAM_FITS
	                                        : DROPIN_PROGRAM_STATIC;
}

static int check_elf(int fd)
{
	const int one = 1;
	const unsigned char own_order =
		*(const char *)&one ? ELFDATA2LSB : ELFDATA2MSB;
	Elf64_Ehdr elf;

	if (pread(fd, &elf, sizeof elf, 0) != sizeof elf)
		return -ENOEXEC;
	if (elf.e_ident[EI_CLASS] != ELFCLASS64 ||
	    elf.e_ident[EI_DATA] != own_order || elf.e_machine != OWN_MACHINE)
		return DROPIN_PROGRAM_FOREIGN;
	int program = check_headers(fd, &elf);
	return program == DROPIN_PROGRAM_FITS ? check_rights(fd) : program;
}

/* ---- Scripts ------------------------------------------------------------ */

/* "#! /bin/sh -e": the path is put where `loaded` is. */
static void read_interpreter(char *line, char *loaded)
{
	char *start = line + 2 + strspn(line + 2, " \t");

	start[strcspn(start, " \t\n")] = '\0';
	strcpy(loaded, *start ? start : SHELL);
}

/* -EAGAIN: a script, and its interpreter is now in `loaded`. */
static int look_into(char *loaded)
{
	char head[HEAD_BYTES + 1] = "";
	int result, fd = open(loaded, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		/* who may run a file may not always read it */
		return -errno;
	ssize_t bytes = pread(fd, head, HEAD_BYTES, 0);
	if (bytes < 0)
		result = -errno;
	else if (bytes >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG))
		result = check_elf(fd);
	else {
		if (strncmp(head, "#!", 2) != 0)
			strcpy(head, "#!" SHELL);
		read_interpreter(head, loaded);
		result = -EAGAIN;
	}
	close(fd);
	return result;
}

int dropin_program_check(const char *path, char loaded[DROPIN_PROGRAM_PATH])
{
	int result;

	loaded[0] = '\0';
	strncat(loaded, path, DROPIN_PROGRAM_PATH - 1);
	if (strlen(path) >= DROPIN_PROGRAM_PATH)
		return -ENAMETOOLONG;
	for (int scripts = 0; scripts <= SCRIPTS_MAX; scripts++) {
		result = look_into(loaded);
		if (result != -EAGAIN)
			return result;
	}
	return -ELOOP;
}
