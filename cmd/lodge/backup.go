package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"
)

// backupCommand hands everything to lodged on this machine: a backup holds keys and
// hashes of everybody, so no request makes or reads one, and a restore needs a
// lodged that does not run.
func (a *app) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "backup create|list|show|verify|delete|restore|report", Short: "Back up, check and restore lodge on this machine, as root",
		Long: `It runs "lodged backup" on this machine with everything that follows: create, list, show, verify, delete, restore and report, with their flags.
A backup holds the keys and hashes of everybody, so lodged makes and reads none on request.`,
		Example:            "  sudo lodge backup create\n  sudo lodge backup verify latest\n  lodge backup restore --help",
		DisableFlagParsing: true, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
				return cmd.Help()
			}
			path, err := lodgedBeside()
			if err != nil {
				return err
			}
			return a.exec(path, append([]string{path, "backup"}, args...), os.Environ())
		},
	}
}

// lodgedBeside is the lodged that belongs to this program: beside it, or where the
// shell finds it.
func lodgedBeside() (string, error) {
	if self, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), "lodged")); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath("lodged")
	if err != nil {
		return "", fmt.Errorf("lodged is not installed here; backups are made on the machine that it runs on")
	}
	return path, nil
}
