#ifndef STOP_H
#define STOP_H
/* The one way out when a contract is broken or memory is short. */
#include <stddef.h>

/* Print "file:line: " and the words (printf), then abort. */
#define stop(...) stop_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void stop_at(const char *file, int line,
                       const char *format, ...);

/* The same for want of memory, but exit with 1. */
#define give_up(...) give_up_at(__FILE__, __LINE__, __VA_ARGS__)
_Noreturn void give_up_at(const char *file, int line,
                          const char *format, ...);

/* Room for count items of so many bytes each, all zero, never NULL;
 * gives up if there is none. */
#define room(count, size) room_at(__FILE__, __LINE__, count, size)
void *room_at(const char *file, int line, size_t count, size_t size);

#endif
