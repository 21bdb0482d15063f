/* columns.c - procmon: the table of what is charted. */
#include "columns.h"

#include "cdefs.h"

#include <math.h>
#include <stdio.h>

/* clang-format off */
const struct column_info column_info[COLUMNS] = {
	[COLUMN_CPU]          = { "cpu_percent", "CPU", UNIT_PERCENT,
		"Processor time, in percent of one processor." },
	[COLUMN_USER]         = { "user_percent", "user", UNIT_PERCENT,
		"Processor time in the program itself." },
	[COLUMN_SYSTEM]       = { "system_percent", "system", UNIT_PERCENT,
		"Processor time in the kernel on its behalf." },
	[COLUMN_WAITED]       = { "waited_percent", "waited", UNIT_PERCENT,
		"Time in which its threads were ready to run and others had the processors." },
	[COLUMN_RESIDENT]     = { "resident_bytes", "RSS", UNIT_BYTES,
		"Memory that is resident, pages shared with others counted in full." },
	[COLUMN_PSS]          = { "pss_bytes", "PSS", UNIT_BYTES,
		"Resident memory, a page that n processes share counted as 1/n." },
	[COLUMN_SWAP]         = { "swap_bytes", "swap", UNIT_BYTES,
		"Memory that was swapped out." },
	[COLUMN_THREADS]      = { "threads", "threads", UNIT_COUNT,
		"Threads." },
	[COLUMN_FILES]        = { "files", "descriptors", UNIT_COUNT,
		"Open descriptors." },
	[COLUMN_VOLUNTARY]    = { "voluntary_per_s", "voluntary", UNIT_PER_S,
		"Context switches because it waited for something." },
	[COLUMN_INVOLUNTARY]  = { "involuntary_per_s", "involuntary", UNIT_PER_S,
		"Context switches because another was to run." },
	[COLUMN_MINOR]        = { "minor_faults_per_s", "minor", UNIT_PER_S,
		"Page faults that needed no disk." },
	[COLUMN_MAJOR]        = { "major_faults_per_s", "major", UNIT_PER_S,
		"Page faults that waited for a disk." },
	[COLUMN_READ]         = { "read_Bps", "read", UNIT_BPS,
		"Bytes by read(2) and the like, from files, pipes and sockets; recv(2) and splice(2) are not counted." },
	[COLUMN_WRITTEN]      = { "written_Bps", "written", UNIT_BPS,
		"Bytes by write(2) and the like, to files, pipes and sockets; send(2) and splice(2) are not counted." },
	[COLUMN_CALLS]        = { "calls_per_s", "calls", UNIT_PER_S,
		"System calls that read or write; recv(2) and send(2) are not counted." },
	[COLUMN_DISK_READ]    = { "disk_read_Bps", "from disk", UNIT_BPS,
		"Bytes that disks had to deliver." },
	[COLUMN_DISK_WRITTEN] = { "disk_written_Bps", "to disk", UNIT_BPS,
		"Bytes that disks have to store." },
	[COLUMN_SOCKETS]      = { "sockets", "TCP sockets", UNIT_COUNT,
		"TCP connections and listeners." },
	[COLUMN_RECV_QUEUE]   = { "receive_queue_bytes", "to be read", UNIT_BYTES,
		"Bytes that have come over TCP and wait for the process to read them." },
	[COLUMN_SEND_QUEUE]   = { "send_queue_bytes", "not acknowledged", UNIT_BYTES,
		"Bytes written to TCP that the peer has not acknowledged." },
	[COLUMN_TCP_IN]       = { "tcp_in_Bps", "in", UNIT_BPS,
		"Bytes that came over its TCP connections." },
	[COLUMN_TCP_OUT]      = { "tcp_out_Bps", "out", UNIT_BPS,
		"Bytes over its TCP connections that the peers have acknowledged." },
	[COLUMN_RETRANSMITS]  = { "retransmits_per_s", "sent again", UNIT_PER_S,
		"TCP segments sent again." },
	[COLUMN_PROCESSES]    = { "processes", "processes", UNIT_COUNT,
		"The process, and with --children its descendants." },
};
/* clang-format on */

/* "12", "1.24 k", "3.50 M" */
static const char *number(char out[static UNITS_TEXT], double value)
{
	static const char prefix[] = " kMGTPE";
	unsigned i = 0;
	for (; fabs(value) >= 1000 && i + 2 < sizeof(prefix); i++)
		value /= 1000;
	if (i == 0 && value == floor(value))
		snprintf(out, UNITS_TEXT, "%.0f", value);
	else if (i == 0)
		snprintf(out, UNITS_TEXT, "%.3g", value);
	else
		snprintf(out, UNITS_TEXT, "%.3g %c", value, prefix[i]);
	return out;
}

const char *column_text(char out[static UNITS_TEXT], enum column column, double value)
{
	char n[UNITS_TEXT];
	if (isnan(value)) {
		snprintf(out, UNITS_TEXT, "-");
		return out;
	}
	switch (column_info[column].unit) {
	case UNIT_PERCENT:
		snprintf(out, UNITS_TEXT, "%.1f %%", value);
		break;
	case UNIT_BYTES:
		return units_size(out, (uint64_t)value);
	case UNIT_COUNT:
		return number(out, value);
	case UNIT_PER_S:
		snprintf(out, UNITS_TEXT, "%.20s/s", number(n, value));
		break;
	case UNIT_BPS:
		snprintf(out, UNITS_TEXT, "%.20s/s", units_size(n, (uint64_t)value));
		break;
	}
	return out;
}
