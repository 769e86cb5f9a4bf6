/* SPDX-License-Identifier: MIT */
/* kernel/terminal.c: pairs of descriptors, their size and their modes. */
#include <base/bug.h>
#include <base/error.h>
#include <base/system.h>
#include <stoa/terminal.h>

#include <asm/ioctls.h>
#include <asm/termbits.h>
#include <errno.h>
#include <string.h>

/* The kernel's own, beside which libc's <sys/ioctl.h> and <termios.h> can't be
 * included. */
struct window {
	unsigned short rows, columns, width_pixels, height_pixels;
};

_Static_assert(sizeof(struct termios2) <= sizeof(struct stoa_terminal_mode),
               "a mode has room for the kernel's settings");

static int control(int fd, unsigned long request, const void *argument)
{
	return (int)stoa_system_call(SYS_ioctl, fd, (long)request,
	                             (long)argument, 0, 0, 0);
}

/* ---- A pair, and its size -------------------------------------------------- */

static int open_terminal(int controller,
                         const struct stoa_terminal_size *size)
{
	static const struct stoa_terminal_size usual = { 24, 80, 0, 0 };
	const int locked = 0;
	int result = control(controller, TIOCSPTLCK, &locked);

	if (result < 0)
		return result;
	result = stoa_terminal_set_size(controller, size ? size : &usual);
	if (result < 0)
		return result;
	return (int)stoa_system_call(SYS_ioctl, controller, TIOCGPTPEER,
	                             O_RDWR | O_NOCTTY |
	                                     (STOA_BUG(127) ? 0 :
	                                                      O_CLOEXEC),
	                             0, 0, 0);
}

int stoa_terminal_pair(const struct stoa_terminal_size *size,
                       int *ret_controller, int *ret_terminal)
{
	int controller = stoa_sys_openat(AT_FDCWD, "/dev/ptmx",
	                                 O_RDWR | O_NOCTTY, 0);

	if (controller < 0)
		return stoa_fail(controller,
		                 "can't make a pseudoterminal (/dev/ptmx): %s",
		                 strerror(-controller));
	int terminal = open_terminal(controller, size);

	if (terminal < 0) {
		stoa_sys_close(controller);
		return stoa_fail(terminal,
		                 "can't open the other side of a new "
		                 "pseudoterminal: %s",
		                 strerror(-terminal));
	}
	*ret_controller = controller;
	*ret_terminal = terminal;
	return 0;
}

int stoa_terminal_lead(int terminal)
{
	int result = (int)stoa_system_call(SYS_setsid, 0, 0, 0, 0, 0, 0);

	if (result < 0)
		return result;
	return control(terminal, TIOCSCTTY, NULL);
}

int stoa_terminal_get_size(int fd, struct stoa_terminal_size *ret_size)
{
	struct window window;
	int result = control(fd, TIOCGWINSZ, &window);

	if (result < 0)
		return result;
	*ret_size = (struct stoa_terminal_size){ window.rows, window.columns,
		                                 window.width_pixels,
		                                 window.height_pixels };
	return 0;
}

int stoa_terminal_set_size(int fd, const struct stoa_terminal_size *size)
{
	const struct window window = { size->rows, size->columns,
		                       size->width_pixels,
		                       size->height_pixels };

	return control(fd, TIOCSWINSZ, &window);
}

/* ---- Modes ------------------------------------------------------------------ */

int stoa_terminal_get_mode(int fd, struct stoa_terminal_mode *ret_mode)
{
	struct termios2 settings;
	int result = control(fd, TCGETS2, &settings);

	if (result < 0)
		return result;
	memset(ret_mode, 0, sizeof(*ret_mode));
	memcpy(ret_mode, &settings, sizeof(settings));
	return 0;
}

int stoa_terminal_set_mode(int fd, const struct stoa_terminal_mode *mode)
{
	struct termios2 settings;

	memcpy(&settings, mode, sizeof(settings));
	return control(fd, TCSETS2, &settings);
}

/* As cfmakeraw(3), and a read waits for one byte. */
static void make_raw(struct termios2 *settings)
{
	settings->c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP |
	                                 INLCR | IGNCR | ICRNL | IXON | IXOFF |
	                                 IXANY | IUCLC | IMAXBEL);
	settings->c_oflag &= ~(tcflag_t)OPOST;
	settings->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG |
	                                 IEXTEN);
	settings->c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	settings->c_cflag |= CS8;
	settings->c_cc[VMIN] = 1;
	settings->c_cc[VTIME] = 0;
}

/* What the kernel gives a new terminal, but IUTF8 stays. */
static void make_cooked(struct termios2 *settings)
{
	static const unsigned char usual[] = {
		[VINTR] = 3,   [VQUIT] = 28,  [VERASE] = 127, [VKILL] = 21,
		[VEOF] = 4,    [VTIME] = 0,   [VMIN] = 1,     [VSWTC] = 0,
		[VSTART] = 17, [VSTOP] = 19,  [VSUSP] = 26,   [VEOL] = 0,
		[VREPRINT] = 18, [VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22,
		[VEOL2] = 0,
	};

	settings->c_iflag = ICRNL | IXON | (settings->c_iflag & IUTF8);
	settings->c_oflag = OPOST | ONLCR;
	settings->c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL |
	                    ECHOKE | IEXTEN;
	settings->c_cflag &= ~(tcflag_t)(CSIZE | PARENB);
	settings->c_cflag |= CS8 | CREAD;
	memcpy(settings->c_cc, usual, sizeof(usual));
}

static int change_mode(int fd, void (*change)(struct termios2 *settings),
                       struct stoa_terminal_mode *ret_mode)
{
	struct stoa_terminal_mode mode;
	struct termios2 settings;
	int result = stoa_terminal_get_mode(fd, &mode);

	if (result < 0)
		return result;
	memcpy(&settings, &mode, sizeof(settings));
	change(&settings);
	result = control(fd, TCSETS2, &settings);
	if (result == 0 && ret_mode)
		*ret_mode = mode;
	return result;
}

int stoa_terminal_raw(int fd, struct stoa_terminal_mode *ret_mode)
{
	return change_mode(fd, make_raw, ret_mode);
}

int stoa_terminal_cooked(int fd)
{
	return change_mode(fd, make_cooked, NULL);
}
