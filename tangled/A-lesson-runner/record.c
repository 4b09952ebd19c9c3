#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "record.h"

struct record record_of(time_t now, const struct lesson *lesson,
                        uint64_t seed, struct lesson_answer said,
                        struct lesson_answer right, unsigned hints)
{
    struct record record = {.time = "1970-01-01T00:00:00Z",
        .seed = seed, .kind = lesson->kind, .said = said,
        .right = right, .tolerance = lesson->tolerance,
        .hints = hints};
    struct tm parts;
    if (gmtime_r(&now, &parts))
        strftime(record.time, RECORD_TIME, "%Y-%m-%dT%H:%M:%SZ",
                 &parts);
    snprintf(record.id, sizeof record.id, "%s", lesson->id);
    return record;
}
static int write_values(char *out, struct lesson_answer answer)
{
    int n = 0;
    for (size_t i = 0; i < answer.count; i++)
        n += sprintf(out + n, "%s%.12g", i ? "," : "",
                     answer.value[i]);
    return n;
}

void record_write(char line[RECORD_LINE], const struct record *record)
{
    int n = snprintf(line, RECORD_LINE / 2, "%s %s seed %llu %s ",
                     record->time, record->id,
                     (unsigned long long)record->seed,
                     lesson_kinds[record->kind]);
    n += write_values(line + n, record->said);
    n += sprintf(line + n, " was ");
    n += write_values(line + n, record->right);
    sprintf(line + n, " within %.12g hints %u\n", record->tolerance,
            record->hints);
}
enum { WORDS = 12, WORD = 200 };

static int split(char word[WORDS][WORD], const char *line)
{
    for (int i = 0; i < WORDS; i++) {
        size_t length = strcspn(line, " ");
        if (!length || length >= WORD) return 0;
        memcpy(word[i], line, length);
        word[i][length] = '\0';
        line += length;
        if (*line != (i + 1 < WORDS ? ' ' : '\0')) return 0;
        line += *line == ' ';
    }
    return 1;
}
static int read_time(char time[RECORD_TIME], const char *word)
{
    static const char like[] = "0000-00-00T00:00:00Z";
    if (strlen(word) != sizeof like - 1) return 0;
    for (size_t i = 0; like[i]; i++)
        if (like[i] == '0' ? word[i] < '0' || word[i] > '9'
                           : word[i] != like[i]) return 0;
    strcpy(time, word);
    return 1;
}
static int read_id(char id[RECORD_ID], const char *word)
{
    if (strlen(word) >= RECORD_ID
        || word[strspn(word, "0123456789.")]) return 0;
    strcpy(id, word);
    return 1;
}

static int read_whole(uint64_t *value, uint64_t most, const char *word)
{
    if (word[strspn(word, "0123456789")]) return 0;
    errno = 0;
    *value = strtoull(word, NULL, 10);
    return !errno && *value <= most;
}
static int read_values(struct lesson_answer *answer, const char *at)
{
    *answer = (struct lesson_answer){0, {0}};
    for (;; at++) {
        if (answer->count == LESSON_VALUES) return 0;
        at = lesson_number(at, &answer->value[answer->count++]);
        if (!at) return 0;
        if (!*at) return 1;
        if (*at != ',') return 0;
    }
}
static int read_kind(struct record *record, const char *word)
{
    for (int i = LESSON_NUMBER; i < LESSON_CONSTANT; i++)
        if (!strcmp(word, lesson_kinds[i])) {
            record->kind = (enum lesson_kind)i;
            return 1;
        }
    return 0;
}

static int fits(enum lesson_kind kind, struct lesson_answer answer)
{
    if (kind == LESSON_NUMBER) return answer.count == 1;
    if (kind == LESSON_CHOICE && answer.count != 1) return 0;
    for (size_t i = 0; i < answer.count; i++) {
        double value = answer.value[i];
        if (!(value >= 0 && value <= 999999)) return 0;
        if (value != (double)(int)value) return 0;
        if (kind == LESSON_SET && i && value <= answer.value[i - 1])
            return 0;
    }
    return 1;
}
int record_read(struct record *record, const char *line)
{
    char w[WORDS][WORD];
    uint64_t hints = 0;
    struct lesson_answer tolerance;
    int good = split(w, line) && read_time(record->time, w[0])
        && read_id(record->id, w[1]) && !strcmp(w[2], "seed")
        && read_whole(&record->seed, UINT64_MAX, w[3])
        && read_kind(record, w[4]) && read_values(&record->said, w[5])
        && !strcmp(w[6], "was") && read_values(&record->right, w[7])
        && fits(record->kind, record->said)
        && fits(record->kind, record->right)
        && !strcmp(w[8], "within") && read_values(&tolerance, w[9])
        && tolerance.count == 1 && tolerance.value[0] >= 0
        && !strcmp(w[10], "hints") && read_whole(&hints, 999, w[11]);
    record->tolerance = good ? tolerance.value[0] : 0;
    record->hints = (unsigned)hints;
    return good;
}
void record_open(struct record_file *file, const char *state,
                 const char *home)
{
    static const char name[] = "where-tokens-go/predictions";
    int n = 0, given = state && *state == '/';
    if (given)
        n = snprintf(file->path, sizeof file->path, "%s/%s", state,
                     name);
    else if (home && *home == '/')
        n = snprintf(file->path, sizeof file->path,
                     "%s/.local/state/%s", home, name);
    file->length = 0;
    file->nowhere = NULL;
    if (n > 0 && n < (int)sizeof file->path) return;
    file->path[0] = '\0';
    file->nowhere = given ? "XDG_STATE_HOME is too long"
        : n ? "HOME is too long"
        : "neither XDG_STATE_HOME nor HOME is an absolute path";
}
static void make_folders(const char *path)
{
    char folder[sizeof ((struct record_file *)0)->path];
    strcpy(folder, path);
    for (char *at = folder + 1; (at = strchr(at, '/')); *at++ = '/') {
        *at = '\0';
        mkdir(folder, 0700);
    }
}
static int open_to_append(const char *path)
{
    struct stat status;
    int flags = O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
    int file = open(path, flags, 0600);
    if (file < 0 && errno == ENOENT) {
        make_folders(path);
        file = open(path, flags, 0600);
    }
    if (file < 0 || fstat(file, &status)) return file;
    if (!S_ISFIFO(status.st_mode)) return file;
    close(file);
    errno = EINVAL;
    return -1;
}
static int torn(int file)
{
    struct stat status;
    char last = '\n';
    if (!fstat(file, &status) && status.st_size > 0
        && pread(file, &last, 1, status.st_size - 1) != 1) last = '\n';
    return last != '\n';
}
static int write_waiting(struct record_file *record, int file)
{
    char lines[RECORD_WAITING + 1];
    size_t first = (size_t)torn(file), length = record->length;
    lines[0] = '\n';
    memcpy(lines + first, record->waiting, length);
    ssize_t wrote = write(file, lines, first + length);
    int error = wrote < 0 ? errno : 0;
    size_t whole = wrote > 0 ? (size_t)wrote : 0;
    if (!error && whole < first + length) error = ENOSPC;
    if (!error && fsync(file) && errno != EINVAL) error = errno;
    /* forget the lines that are in the file */
    if (whole && whole < first + length && lines[whole] == '\n') whole++;
    while (whole && lines[whole - 1] != '\n') whole--;
    whole -= whole ? first : 0;
    memmove(record->waiting, record->waiting + whole, length - whole);
    record->length -= whole;
    return error;
}
static int write_file(struct record_file *record)
{
    if (!*record->path) return ENOENT;
    int file = open_to_append(record->path);
    if (file < 0) return errno;
    int error = write_waiting(record, file);
    return close(file) && !error ? errno : error;
}

int record_append(struct record_file *record, const char *line)
{
    size_t length = strlen(line);
    if (record->length + length > RECORD_WAITING) write_file(record);
    if (record->length + length > RECORD_WAITING) return ENOBUFS;
    memcpy(record->waiting + record->length, line, length);
    record->length += length;
    return write_file(record);
}
static FILE *open_to_read(const char *path)
{
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return NULL;
    if (!fstat(file, &status) && S_ISREG(status.st_mode))
        return fdopen(file, "r");
    close(file);
    errno = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    return NULL;
}
static char *strip(char *line, size_t length, size_t number)
{
    static const char mark[] = "\xef\xbb\xbf";
    if (length && line[length - 1] == '\r') length--;
    line[length] = '\0';
    return number == 1 && !strncmp(line, mark, 3) ? line + 3 : line;
}
int record_lines(FILE *file, void *context,
                 void (*take)(void *, size_t, const char *))
{
    char line[RECORD_LINE];
    size_t length = 0, number = 1;
    for (int c = 0; c != EOF; ) {
        c = getc_unlocked(file);
        if (c != '\n' && c != EOF) {
            if (length < RECORD_LINE - 1)
                line[length++] = (char)(c ? c : '?');
            continue;
        }
        const char *text = strip(line, length, number);
        if (*text) take(context, number, text);
        length = 0, number++;
    }
    return ferror(file) ? EIO : 0;
}

int record_each(const struct record_file *record, void *context,
                void (*take)(void *, size_t, const char *))
{
    FILE *file = open_to_read(record->path);
    if (!file) return errno;
    int error = record_lines(file, context, take);
    return fclose(file), error;
}
