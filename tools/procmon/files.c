/* files.c - the open descriptors of a process, and what is behind each. See details.h.
 *
 * readlink(2) on /proc/PID/fd/N tells the name, which for what has no name is its kind ("socket:[123]"). For a name
 * statx(2) tells what it is, and whether it is still in its folder: " (deleted)" at its end may be its name. */
#include "details.h"

#include "mem.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME_BYTES = 32, INFO_BYTES = 1024, ACCESS_MODE = 3 /* musl's O_ACCMODE has O_PATH in it */ };

/* AT_NO_AUTOMOUNT and AT_STATX_DONT_SYNC of statx(2), which not every libc names. */
enum { LOOK_NO_AUTOMOUNT = 0x800, LOOK_NO_SYNC = 0x4000 };

static const char deleted[] = " (deleted)";

void files_clear(struct files *f, uint64_t now_ns)
{
	struct files *before = f->before != NULL ? f->before : xcalloc(1, sizeof(*before));
	struct files spare = *before;
	*before = *f;
	before->before = NULL;
	*f = (struct files){ .row = spare.row, .cap = spare.cap, .at_ns = now_ns, .before = before };
}

void files_undo(struct files *f)
{
	assert(f->before != NULL);
	struct files spare = *f;
	*f = *spare.before;
	f->before = spare.before;
	*f->before = (struct files){ .row = spare.row, .cap = spare.cap };
}

void files_free(struct files *f)
{
	if (f->before != NULL)
		free(f->before->row);
	free(f->before);
	free(f->row);
	*f = (struct files){ 0 };
}

const char *file_kind_name(enum file_kind kind)
{
	/* clang-format off */
	static const char *const name[FILE_KINDS] = {
		[FILE_REGULAR] = "file", [FILE_FOLDER] = "folder", [FILE_DEVICE] = "device", [FILE_PIPE] = "pipe",
		[FILE_SOCKET] = "socket", [FILE_EPOLL] = "epoll", [FILE_EVENT] = "event", [FILE_OTHER] = "other",
	};
	/* clang-format on */
	return name[kind];
}

const char *file_flags_text(char out[static FILE_FLAGS_TEXT], uint32_t flags)
{
	static const char *const access[] = { "read", "write", "read, write", "" };
	static const struct {
		uint32_t bits;
		const char *name;
	} list[] = {
		{ O_APPEND, "append" }, { O_NONBLOCK, "nonblock" }, { O_CLOEXEC, "cloexec" },
		{ O_SYNC, "sync" },     { O_DSYNC, "dsync" },       { O_DIRECT, "direct" },
		{ O_ASYNC, "async" },   { O_NOATIME, "noatime" },   { O_PATH, "path" },
	};
	/* A descriptor of O_PATH neither reads nor writes. */
	int len = snprintf(out, FILE_FLAGS_TEXT, "%s", flags & O_PATH ? "" : access[flags & ACCESS_MODE]);
	for (size_t i = 0; i < COUNT_OF(list); i++) {
		bool is_less = list[i].bits == O_DSYNC && (flags & O_SYNC) == O_SYNC; /* O_SYNC has the bit of it */
		if ((flags & list[i].bits) != list[i].bits || is_less || len >= FILE_FLAGS_TEXT)
			continue;
		len += snprintf(out + len, FILE_FLAGS_TEXT - (size_t)len, "%s%s", len > 0 ? ", " : "", list[i].name);
	}
	return out;
}

/* --- what is behind a descriptor ---------------------------------------------------------------------------------- */

/* WHY statx and not stat: what a file server that does not answer has said last is good enough (AT_STATX_DONT_SYNC),
 * and one must not hang with the process that is looked at. By number: musl 1.2.3 has no function. */
static bool look_at(int dir_fd, const char *name, struct statx *out)
{
	unsigned what = STATX_TYPE | STATX_NLINK | STATX_INO;
	return syscall(SYS_statx, dir_fd, name, LOOK_NO_AUTOMOUNT | LOOK_NO_SYNC, what, out) == 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);
	return len >= n && strcmp(text + len - n, end) == 0;
}

static bool begins_with(const char *text, const char *begin)
{
	return strncmp(text, begin, strlen(begin)) == 0;
}

/* A file without a link has no name any more; one with others may have lost this one. What never had one
 * (memfd_create(2)) has not lost it. */
static bool is_name_gone(const struct file_row *row, const struct statx *st)
{
	struct statx now;
	if (!ends_with(row->target, deleted))
		return st->stx_nlink == 0; /* the end of a long name is cut off */
	if (begins_with(row->target, "/memfd:"))
		return false;
	if (st->stx_nlink == 0 || !look_at(AT_FDCWD, row->target, &now))
		return true;
	return now.stx_ino != st->stx_ino || now.stx_dev_major != st->stx_dev_major ||
	       now.stx_dev_minor != st->stx_dev_minor;
}

static void set_named(struct file_row *row, const struct procfs *p, const char *name)
{
	struct statx st;
	row->kind = FILE_OTHER;
	if (!look_at(p->dir_fd, name, &st))
		return;
	switch (st.stx_mode & S_IFMT) {
	case S_IFREG:
		row->kind = FILE_REGULAR;
		break;
	case S_IFDIR:
		row->kind = FILE_FOLDER;
		break;
	case S_IFCHR:
	case S_IFBLK:
		row->kind = FILE_DEVICE;
		break;
	case S_IFIFO:
		row->kind = FILE_PIPE;
		row->inode = st.stx_ino;
		break;
	default:
		break;
	}
	row->is_deleted = is_name_gone(row, &st);
	if (row->is_deleted && ends_with(row->target, deleted))
		row->target[strlen(row->target) - strlen(deleted)] = 0;
}

static void set_kind(struct file_row *row, const struct procfs *p, const char *name)
{
	static const char *const events[] = { "anon_inode:[eventfd]", "anon_inode:[timerfd]", "anon_inode:[signalfd]",
					      "anon_inode:[pidfd]" };
	row->kind = FILE_OTHER;
	if (row->target[0] == '/')
		set_named(row, p, name);
	else if (procfs_parse_inode(&row->inode, "socket", row->target))
		row->kind = FILE_SOCKET;
	else if (procfs_parse_inode(&row->inode, "pipe", row->target))
		row->kind = FILE_PIPE;
	else if (strcmp(row->target, "anon_inode:[eventpoll]") == 0)
		row->kind = FILE_EPOLL;
	for (size_t i = 0; i < COUNT_OF(events); i++) {
		if (strcmp(row->target, events[i]) == 0)
			row->kind = FILE_EVENT;
	}
}

/* WHY not of epoll and of what else is FILE_OTHER, as inotify and io_uring: there the kernel writes a line for each
 * thing that is watched, and holds the lock that the process needs for its own calls. */
static void read_info(struct file_row *row, const struct procfs *p)
{
	char name[NAME_BYTES], text[INFO_BYTES];
	struct procfs_fdinfo info;
	if (row->kind == FILE_EPOLL || row->kind == FILE_OTHER)
		return;
	snprintf(name, sizeof(name), "fdinfo/%u", row->fd);
	ssize_t len = procfs_read(p, name, text, sizeof(text));
	if (len <= 0 || !procfs_parse_fdinfo(&info, text, (size_t)len))
		return;
	row->position = info.position;
	row->flags = info.flags;
	row->has_info = true;
}

static void read_file(struct files *f, const struct procfs *p, uint32_t fd, bool with_info)
{
	char name[NAME_BYTES];
	struct file_row *row = &f->row[f->n];
	*row = (struct file_row){ .pid = p->pid, .fd = fd };
	snprintf(name, sizeof(name), "fd/%u", fd);
	if (procfs_link(p, name, row->target, sizeof(row->target)) < 0) {
		details_note(&f->why, p, errno);
		return;
	}
	set_kind(row, p, name);
	if (with_info)
		read_info(row, p);
	f->kinds[row->kind]++;
	f->n++;
}

void files_read(struct files *f, const struct procfs *p, bool with_info)
{
	uint32_t *fds = NULL;
	size_t room = DETAILS_FILES - f->n;
	ssize_t found = procfs_numbers(p, "fd", room, &fds);
	if (found < 0) {
		details_note(&f->why, p, errno);
		return;
	}
	if (found == 0)
		details_note_nothing(&f->why, p);
	size_t n = (size_t)found < room ? (size_t)found : room;
	f->n_more += (size_t)found - n;
	if (f->n + n > f->cap) {
		f->cap = f->n + n;
		f->row = xrealloc(f->row, f->cap * sizeof(*f->row));
	}
	for (size_t i = 0; i < n; i++)
		read_file(f, p, fds[i], with_info);
	free(fds);
}
