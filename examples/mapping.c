/* SPDX-License-Identifier: MIT */
/* mapping.c: a file as memory; cut short, it is an error and no signal. */
#include <err.h>
#include <stdio.h>
#include <stoa/stoa.h>
#include <unistd.h>

int main(void)
{
	FILE *file = tmpfile();
	struct stoa_mapping *mapping;
	char text[14] = { 0 };

	if (!file || fputs("well: hello, memory", file) < 0 || fflush(file))
		err(1, "a file");
	const struct stoa_mapping_attributes attributes = {
		.size = sizeof attributes,
		.file = fileno(file),
		.shared = 1,
		.protection = STOA_READ,
		.offset = 6 /* any */
	};
	if (stoa_mapping_map(&attributes, &mapping) < 0)
		errx(1, "%s", stoa_last_error());
	if (stoa_mapping_read(mapping, 0, text, 13) < 0)
		errx(1, "%s", stoa_last_error());
	puts(text);

	if (ftruncate(fileno(file), 0) < 0)
		err(1, "ftruncate");
	if (stoa_mapping_read(mapping, 0, text, 13) < 0)
		puts("cut short: an error");

	stoa_mapping_unmap(mapping);
	fclose(file);
	return 0;
}
