#ifndef PAGE_H
#define PAGE_H
/* The book's lessons for a page. A text lasts until the next call that
 * returns one; lesson: 0 .. page_lessons() - 1. */
#include <stddef.h>
#include <stdint.h>

size_t page_lessons(void);
const char *page_id(size_t lesson);

/* Room for a text of so many bytes, which the other calls read. */
char *page_input(size_t length);

/* Its problem, as lesson_list prints it. The calls below are about it;
 * from page_record on, also about what page_read has heard. */
const char *page_pose(size_t lesson, uint64_t seed);
const char *page_example(size_t lesson); /* of an answer */
int page_read(size_t lesson);  /* the input: enum lesson_heard */
const char *page_why(void);    /* the last one was unreadable */
const char *page_record(size_t lesson, uint64_t now, unsigned hints);
const char *page_explain(size_t lesson);
int page_passes(size_t lesson);

/* The input as a file of predictions: its records, an empty line, and
 * what is to say about the other lines; what make progress prints. */
const char *page_import(void);
const char *page_progress(size_t columns);

/* The input as a figure's name and its handles' numbers: the figure. */
const char *page_live(void);
/* The same input on a day, in days since 1970: what make today prints;
 * its plan, in fields: "done", steps done, steps, and then a line for
 * each lesson, "review" or "next", its id; and a line for each lesson
 * of the book, in fields: its id; "", "done" or "due"; "", "right" or
 * "wrong"; how it stands, in words. */
const char *page_today(int path, long day, size_t columns);
const char *page_plan(int path, long day);
const char *page_states(long day);
#endif
