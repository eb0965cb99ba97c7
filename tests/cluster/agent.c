// Stands in for the agent: copies itself, counts its starts in the home volume, and ends in the ways that tests want.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
static void down(int s) { (void)s; _exit(0); }
static void late(int s) { (void)s; _exit(1); }
static int copy(const char *dir) {
  char to[256]; snprintf(to, sizeof to, "%s/optidev-agent", dir);
  int in = open("/proc/self/exe", O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  if (in < 0 || out < 0) { fprintf(stderr, "%s: %s\n", to, strerror(errno)); return 1; }
  char buf[65536]; ssize_t n;
  while ((n = read(in, buf, sizeof buf)) > 0) if (write(out, buf, n) != n) return 1;
  return close(out) ? 1 : 0;
}
int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "agent-install")) return copy(argv[2]);
  signal(SIGTERM, down);
  if (argc == 4 && !strcmp(argv[1], "connect")) {
    int s = socket(AF_INET, SOCK_STREAM, 0); char said[16] = {0};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
    inet_pton(AF_INET, argv[2], &to.sin_addr); signal(SIGALRM, late); alarm(3);
    return connect(s, (void *)&to, sizeof to) || read(s, said, 15) <= 0;
  }
  FILE *f = fopen("/home/dev/starts", "a");
  if (!f) { fprintf(stderr, "home: %s\n", strerror(errno)); return 9; }
  fprintf(f, "%d\n", (int)getuid()); fclose(f);
  if (!open("/optidev/bin/x", O_CREAT | O_WRONLY, 0644)) return 8;
  if (!access("/home/dev/exit", F_OK)) { fprintf(stderr, "starting\nisolation-unproven: 10.0.0.1 answers\n"); return 3; }
  if (!access("/home/dev/eat", F_OK)) for (;;) { char *p = malloc(1 << 20); if (p) memset(p, 1, 1 << 20); }
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(7443)};
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, (void *)&at, sizeof at) || listen(s, 8)) { perror("listen"); return 7; }
  for (;;) { int c = accept(s, NULL, NULL); if (c >= 0) { (void)!write(c, "agent\n", 6); close(c); } }
}
